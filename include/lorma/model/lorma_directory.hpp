// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_LORMA_DIRECTORY_HPP
#define LORMA_MODEL_LORMA_DIRECTORY_HPP

/// LoRMA adapters on disk: a directory with adapter_config.json and adapter_model.safetensors
/// (docs/adapter-format.md, version 1).
///
///   LormaAdapter adapter = read_lorma_adapter("adapter");
///   for (const LormaLayer& layer : adapter.layers) ...      // layer.B (n x r), layer.A (r x n)
///   write_lorma_adapter("other", adapter);
///
/// With inflations of your own: read_lorma_adapter("adapter", names_in<TypeList<Identity, Mine>>),
/// and the same list to write. visit_layer.hpp makes adapters of layers, and layers of adapters.
///
/// `peft_type` is LORMA, never LORA, so that no runtime of additive adapters takes it for one. A
/// layer may have the fingerprint of the weight that it was made for.

#include <array>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "lorma/adapter/by_name.hpp"
#include "lorma/io/fingerprint.hpp"
#include "lorma/io/json_file.hpp"
#include "lorma/io/safetensors_reader.hpp"
#include "lorma/model/adapter_files.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/peft_tensors.hpp"

namespace lorma::inline LORMA_ABI {

inline constexpr Index lorma_adapter_version = 1;

/// How the matrix W0 (d x k, out x in) lies in its tensor.
enum class WeightLayout : unsigned char {
  out_in,  ///< [d, k], as PyTorch's Linear
  in_out   ///< [k, d], as GPT-2's Conv1D
};

/// Outputs [first, first + count) of a weight that several layers share, such as a fused
/// query-key-value projection.
struct OutputSlice {
  Index first = 0;
  Index count = 0;  ///< 0: all outputs

  bool is_whole() const { return count == 0; }
  bool operator==(const OutputSlice&) const = default;
};

/// One adapted weight, or a slice of one: P = I(s B A), s = alpha / r.
struct LormaLayer {
  std::string weight;   ///< name of the tensor in the base, "encoder.layer.0.output.dense.weight"
  OutputSlice outputs;  ///< W0 is these rows of the weight (out x in)
  std::string inflation = "Identity";  ///< a name of AllInflations, or of your own list
  std::string side = "Pre";            ///< Pre: W = P W0; Post: W = W0 P
  Matrix<float> B;                     ///< n x r
  Matrix<float> A;                     ///< r x n
  double alpha = 1.0;
  WeightLayout layout = WeightLayout::out_in;
  std::string fingerprint;  ///< of the base's tensor; empty: not known

  double scale() const { return alpha / static_cast<double>(A.rows()); }
  /// Name of the layer in the file: the weight's, with "[first:end]" where it is a slice.
  std::string key() const {
    if (outputs.is_whole()) return weight;
    return weight + '[' + std::to_string(outputs.first) + ':' +
           std::to_string(outputs.first + outputs.count) + ']';
  }
};

struct LormaAdapter {
  std::string base_model;  ///< base_model_name_or_path, may be empty
  std::vector<LormaLayer> layers;
  /// Trained beside them and saved whole (`modules_to_save`), as PEFT's models write them.
  std::vector<SavedTensor> saved = {};
  std::shared_ptr<const SafetensorsFile> file = {};  ///< that `saved` lie in
};

namespace detail {

/// What keeps layers from being an adapter, in words: outputs that two of them adapt, slices that
/// do not fit, layouts or fingerprints that differ within a weight, names of policies that do not
/// exist, an alpha that is not above 0.
LORMA_MODEL_FUNCTION std::vector<std::string> problems_of(
    const std::vector<LormaLayer>& layers, NameList inflations = names_in<AllInflations>);

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION std::vector<std::string> problems_of(const std::vector<LormaLayer>& layers,
                                                          NameList inflations) {
  std::vector<std::string> problems;
  std::map<std::string_view, std::vector<const LormaLayer*>> by_weight;
  const auto complain = [&problems](const LormaLayer& layer, const std::string& what) {
    problems.push_back(in_quotes(layer.key()) + ": " + what);
  };
  for (const LormaLayer& layer : layers) {
    by_weight[layer.weight].push_back(&layer);
    const OutputSlice& slice = layer.outputs;
    if (slice.first < 0 || slice.count < 0 || (slice.is_whole() && slice.first != 0)) {
      complain(layer, "expected 'outputs' [first, count] with first >= 0 and count >= 1");
    } else if (!slice.is_whole() && layer.side == "Pre" && slice.count != layer.B.rows()) {
      complain(layer, "expected as many outputs as B has rows, got " + std::to_string(slice.count) +
                          " and " + std::to_string(layer.B.rows()));
    }
    const auto check_name = [&](const char* field, const std::string& name, NameList known) {
      if (std::find(known.begin(), known.end(), name) != known.end()) return;
      complain(layer, "expected '" + std::string(field) + "' to be one of " + joined(known) +
                          ", got " + in_quotes(name));
    };
    check_name("side", layer.side, names_in<AllSides>);
    check_name("inflation", layer.inflation, inflations);
    if (!(layer.alpha > 0.0) || !std::isfinite(layer.alpha)) {
      complain(layer, "expected a finite 'alpha' above 0, got " + std::to_string(layer.alpha));
    }
  }
  for (auto& entry : by_weight) {
    auto& same = entry.second;
    std::sort(same.begin(), same.end(), [](const LormaLayer* a, const LormaLayer* b) {
      return a->outputs.first < b->outputs.first;
    });
    for (std::size_t i = 1; i < same.size(); ++i) {
      const OutputSlice& before = same[i - 1]->outputs;
      const OutputSlice& slice = same[i]->outputs;
      if (before.is_whole() || slice.is_whole() || slice.first < before.first + before.count) {
        complain(*same[i], "shares outputs with " + in_quotes(same[i - 1]->key()));
      }
      if (same[i]->layout != same[0]->layout || same[i]->fingerprint != same[0]->fingerprint) {
        complain(*same[i],
                 "expected the layout and the fingerprint of " + in_quotes(same[0]->key()));
      }
    }
  }
  return problems;
}
#endif

}  // namespace detail

/// Reads a directory. Throws Error if a file cannot be read; FormatError for another peft_type or
/// version, and for missing, unexpected and misshaped tensors, all of them in one message.
LORMA_MODEL_FUNCTION LormaAdapter read_lorma_adapter(const std::filesystem::path& directory,
                                                     NameList inflations = names_in<AllInflations>);

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION LormaAdapter read_lorma_adapter(const std::filesystem::path& directory,
                                                     NameList inflations) {
  const std::filesystem::path config_path = directory / adapter_config_name;
  const detail::JsonDocument config = detail::read_json_object(config_path);
  const detail::JsonFields fields(config_path, config.value);
  if (const std::string type = fields.text("peft_type"); type != "LORMA") {
    detail::json_error(config_path, "expected 'peft_type' LORMA, got " + detail::in_quotes(type));
  }
  if (const Index version = fields.count("format_version"); version != lorma_adapter_version) {
    detail::json_error(config_path, "expected 'format_version' " +
                                        std::to_string(lorma_adapter_version) + ", got " +
                                        std::to_string(version));
  }
  LormaAdapter adapter;
  adapter.base_model = fields.text("base_model_name_or_path", "");
  adapter.file = std::make_shared<const SafetensorsFile>(directory / adapter_model_name);
  const SafetensorsFile& file = *adapter.file;
  std::set<std::string> known;
  std::vector<std::string> problems;
  for (const auto& item : fields.object("layers").items()) {
    const std::string& key = item.key();
    const auto& entry = item.value();
    const std::string where = detail::in_quotes(key) + ": ";
    if (!entry.is_object()) detail::json_error(config_path, where + "expected an object");
    const detail::JsonFields layer_fields(config_path, entry, where);
    LormaLayer layer;
    layer.weight = layer_fields.text("weight", key);
    layer.inflation = layer_fields.text("inflation");
    layer.side = layer_fields.text("side");
    const std::string layout = layer_fields.text("layout");
    if (layout != "out_in" && layout != "in_out") layer_fields.refuse("layout", "out_in or in_out");
    layer.layout = layout == "in_out" ? WeightLayout::in_out : WeightLayout::out_in;
    layer.alpha = layer_fields.positive("alpha");
    layer.fingerprint = layer_fields.text("fingerprint", "");
    if (const nlohmann::json& slice = layer_fields.find("outputs"); !slice.is_null()) {
      const bool is_pair = slice.is_array() && slice.size() == 2 && slice[0].is_number_unsigned() &&
                           slice[0] < (Index(1) << 31);
      if (!is_pair) layer_fields.refuse("outputs", "[first, count]");
      layer.outputs = {slice[0].get<Index>(), layer_fields.count_of("outputs", slice[1])};
    }
    const auto n = static_cast<std::uint64_t>(layer_fields.count("n"));
    const auto r = static_cast<std::uint64_t>(layer_fields.count("rank"));
    const auto take = [&](const char* suffix, std::uint64_t rows, std::uint64_t cols,
                          Matrix<float>& to) {
      const std::string name = key + suffix;
      known.insert(name);
      if (!file.contains(name)) {
        problems.push_back("missing tensor " + detail::in_quotes(name));
        return;
      }
      const StoredTensor& tensor = file.tensor(name);
      if (tensor.shape != std::vector<std::uint64_t>{rows, cols}) {
        problems.push_back(detail::in_quotes(name) + ": expected shape [" + std::to_string(rows) +
                           ", " + std::to_string(cols) + "], got " +
                           detail::shape_text(tensor.shape));
        return;
      }
      to = file.matrix<float>(name);
    };
    take(".lorma_B", n, r, layer.B);
    take(".lorma_A", r, n, layer.A);
    adapter.layers.push_back(std::move(layer));
  }
  constexpr std::array<std::string_view, 2> factors = {"lorma_A", "lorma_B"};
  detail::PeftTensors found(file, factors, problems);
  found.name_saved(fields, false);
  adapter.saved = found.saved();
  for (const auto& module : found.modules()) {
    for (const auto& [factor, tensor] : module.second) {
      if (!known.contains(tensor->name)) {
        problems.push_back("unexpected tensor " + detail::in_quotes(tensor->name));
      }
    }
  }
  detail::throw_problems(directory / adapter_model_name, problems);
  if (adapter.layers.empty()) detail::json_error(config_path, "expected layers, got none");
  detail::throw_problems(config_path, detail::problems_of(adapter.layers, inflations));
  return adapter;
}
#endif

/// Writes a directory, as adapter_files.hpp does. Throws Error where there are whole tensors, which
/// only a model of PEFT writes, ShapeError if B and A of a layer do not fit, NonFinite, FormatError
/// for outputs that two layers adapt and for what read_lorma_adapter refuses.
LORMA_MODEL_FUNCTION void write_lorma_adapter(const std::filesystem::path& directory,
                                              const LormaAdapter& adapter,
                                              NameList inflations = names_in<AllInflations>);

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION void write_lorma_adapter(const std::filesystem::path& directory,
                                              const LormaAdapter& adapter, NameList inflations) {
  detail::require_no_saved(adapter.saved, directory, "be written");
  detail::throw_problems(directory, detail::problems_of(adapter.layers, inflations));
  nlohmann::ordered_json config;
  config["peft_type"] = "LORMA";
  config["format_version"] = lorma_adapter_version;
  config["base_model_name_or_path"] = nullptr;
  if (!adapter.base_model.empty()) config["base_model_name_or_path"] = adapter.base_model;
  auto layers = nlohmann::ordered_json::object();
  std::vector<TensorSource> tensors;
  for (const LormaLayer& layer : adapter.layers) {
    const Index n = layer.B.rows();
    const Index r = layer.B.cols();
    if (n < 1 || r < 1 || layer.A.rows() != r || layer.A.cols() != n) {
      throw ShapeError("lorma::write_lorma_adapter: " + detail::in_quotes(layer.weight) +
                       ": expected B (n x r) and A (r x n) with n, r >= 1, got B " +
                       detail::shape(n, r) + " and A " +
                       detail::shape(layer.A.rows(), layer.A.cols()));
    }
    detail::check_factors_finite("write_lorma_adapter", layer.key(), layer.B, layer.A);
    tensors.push_back(TensorSource::view(layer.key() + ".lorma_B",
                                         MatrixView<const float>(layer.B.data(), n, r, n)));
    tensors.push_back(TensorSource::view(layer.key() + ".lorma_A",
                                         MatrixView<const float>(layer.A.data(), r, n, r)));
    nlohmann::ordered_json entry;
    if (!layer.outputs.is_whole()) {
      entry["weight"] = layer.weight;
      entry["outputs"] = {layer.outputs.first, layer.outputs.count};
    }
    entry["inflation"] = layer.inflation;
    entry["side"] = layer.side;
    entry["n"] = n;
    entry["rank"] = r;
    entry["alpha"] = layer.alpha;
    entry["layout"] = layer.layout == WeightLayout::in_out ? "in_out" : "out_in";
    if (!layer.fingerprint.empty()) entry["fingerprint"] = layer.fingerprint;
    // Every key is new: appending spares the search for it among all before.
    layers.get_ref<nlohmann::ordered_json::object_t&>().push_back({layer.key(), std::move(entry)});
  }
  config["layers"] = std::move(layers);
  detail::write_adapter_files(directory, tensors, {{"format", "lorma"}}, config);
}
#endif

}  // namespace lorma::inline LORMA_ABI

#endif
