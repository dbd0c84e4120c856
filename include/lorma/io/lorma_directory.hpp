// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_LORMA_DIRECTORY_HPP
#define LORMA_IO_LORMA_DIRECTORY_HPP

/// LoRMA adapters on disk: a directory with adapter_config.json and adapter_model.safetensors
/// (docs/adapter-format.md, version 1).
///
///   LormaAdapter adapter = read_lorma_adapter("adapter");
///   for (const LormaLayer& layer : adapter.layers) ...      // layer.B (n x r), layer.A (r x n)
///   write_lorma_adapter("other", adapter);
///
/// `peft_type` is LORMA, never LORA, so that no runtime of additive adapters takes it for one. Each
/// layer names the fingerprint of the weight that it was made for.

#include <set>
#include <vector>

#include "lorma/io/fingerprint.hpp"
#include "lorma/io/json_file.hpp"
#include "lorma/io/peft_lora.hpp"
#include "lorma/io/safetensors_reader.hpp"
#include "lorma/io/safetensors_writer.hpp"

namespace lorma::inline LORMA_ABI {

inline constexpr Index lorma_adapter_version = 1;

/// How the matrix W0 (d x k, out x in) lies in its tensor.
enum class WeightLayout : unsigned char {
  out_in,  ///< [d, k], as PyTorch's Linear
  in_out   ///< [k, d], as GPT-2's Conv1D
};

/// One adapted weight: P = I(s B A), s = alpha / r.
struct LormaLayer {
  std::string weight;  ///< name of the tensor in the base, "encoder.layer.0.output.dense.weight"
  std::string inflation = "Identity";  ///< Identity, CyclicPermutation or None
  std::string side = "Pre";            ///< Pre: W = P W0; Post: W = W0 P
  Matrix<float> B;                     ///< n x r
  Matrix<float> A;                     ///< r x n
  double alpha = 1.0;
  WeightLayout layout = WeightLayout::out_in;
  std::string fingerprint;  ///< of the base's tensor; empty: not known

  double scale() const { return alpha / static_cast<double>(A.rows()); }
};

struct LormaAdapter {
  std::string base_model;  ///< base_model_name_or_path, may be empty
  std::vector<LormaLayer> layers;
};

/// Reads a directory. Throws Error if a file cannot be read; FormatError for another peft_type or a
/// newer version, and for missing, unexpected and misshaped tensors, all of them in one message.
inline LormaAdapter read_lorma_adapter(const std::filesystem::path& directory) {
  const std::filesystem::path config_path = directory / adapter_config_name;
  const nlohmann::json config = detail::read_json_object(config_path);
  const detail::JsonFields fields(config_path, config);
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
  const SafetensorsFile file(directory / adapter_model_name);
  std::set<std::string> known;
  std::vector<std::string> problems;
  for (const auto& item : fields.object("layers").items()) {
    const std::string& weight = item.key();
    const auto& entry = item.value();
    const std::string where = detail::in_quotes(weight) + ": ";
    if (!entry.is_object()) detail::json_error(config_path, where + "expected an object");
    const detail::JsonFields layer_fields(config_path, entry, where);
    LormaLayer layer;
    layer.weight = weight;
    const auto one_of = [&](const std::string& key, std::initializer_list<const char*> legal) {
      const std::string value = layer_fields.text(key);
      std::string names;
      for (const char* name : legal) {
        if (value == name) return value;
        names += (names.empty() ? "" : ", ") + std::string(name);
      }
      layer_fields.refuse(key, "one of " + names);
    };
    layer.inflation = one_of("inflation", {"Identity", "CyclicPermutation", "None"});
    layer.side = one_of("side", {"Pre", "Post"});
    layer.layout = one_of("layout", {"out_in", "in_out"}) == "in_out" ? WeightLayout::in_out
                                                                      : WeightLayout::out_in;
    layer.alpha = layer_fields.positive("alpha");
    layer.fingerprint = layer_fields.text("fingerprint", "");
    const auto n = static_cast<std::uint64_t>(layer_fields.count("n"));
    const auto r = static_cast<std::uint64_t>(layer_fields.count("rank"));
    const auto take = [&](const char* suffix, std::uint64_t rows, std::uint64_t cols,
                          Matrix<float>& to) {
      const std::string name = weight + suffix;
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
  for (const StoredTensor& tensor : file.tensors()) {
    if (!known.contains(tensor.name)) {
      problems.push_back("unexpected tensor " + detail::in_quotes(tensor.name));
    }
  }
  detail::throw_problems(directory / adapter_model_name, problems);
  return adapter;
}

/// Writes a directory; it is created where it is missing, and each of the two files is replaced
/// whole. Throws ShapeError if B and A of a layer do not fit, FormatError for a weight named twice.
inline void write_lorma_adapter(const std::filesystem::path& directory,
                                const LormaAdapter& adapter) {
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
    tensors.push_back(TensorSource::view(layer.weight + ".lorma_B",
                                         MatrixView<const float>(layer.B.data(), n, r, n)));
    tensors.push_back(TensorSource::view(layer.weight + ".lorma_A",
                                         MatrixView<const float>(layer.A.data(), r, n, r)));
    nlohmann::ordered_json entry;
    entry["inflation"] = layer.inflation;
    entry["side"] = layer.side;
    entry["n"] = n;
    entry["rank"] = r;
    entry["alpha"] = layer.alpha;
    entry["layout"] = layer.layout == WeightLayout::in_out ? "in_out" : "out_in";
    if (!layer.fingerprint.empty()) entry["fingerprint"] = layer.fingerprint;
    layers[layer.weight] = std::move(entry);
  }
  config["layers"] = std::move(layers);
  std::filesystem::create_directories(directory);
  write_safetensors(directory / adapter_model_name, tensors, {{"format", "lorma"}});
  detail::write_json(directory / adapter_config_name, config);
}

}  // namespace lorma::inline LORMA_ABI

#endif
