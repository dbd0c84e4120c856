// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_READ_PEFT_LORA_HPP
#define LORMA_MODEL_READ_PEFT_LORA_HPP

/// LoRA adapters read: directories as the Python library PEFT keeps them, with adapter_config.json
/// and adapter_model.safetensors, and single files, as kohya's sd-scripts and diffusers keep them.
///
///   PeftLora lora = read_peft_lora("adapter");
///   for (const LoraLayer& layer : lora.layers)      // W = W0 + layer.scale * layer.B * layer.A
///     ... layer.module, layer.B (d x r), layer.A (r x k) ...
///
/// The tensors say which modules are adapted. What changes the mathematics and is not understood
/// here is refused by name, never passed over. Sources: the files that peft and sd-scripts write,
/// PEFT's documentation of the checkpoint format.

#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/io/paths.hpp"
#include "lorma/model/adapter_files.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/lora_layer.hpp"

#ifdef LORMA_MODEL_BODIES
#include "lorma/model/module_patterns.hpp"
#include "lorma/model/peft_config.hpp"
#endif

namespace lorma::inline LORMA_ABI {

/// Reads a directory, or a file of tensors alone. Throws Error if a file cannot be read;
/// FormatError for a field whose meaning is not supported, for an adapter without tensors, and for
/// missing, unexpected and misshaped tensors, all of them in one message. Factors of F64, F16 and
/// BF16 are rounded to, or widened to, float.
LORMA_MODEL_FUNCTION PeftLora read_peft_lora(const std::filesystem::path& path);

#ifdef LORMA_MODEL_BODIES
namespace detail {

/// The module that a key names: keys of a module's further weights have this at their ends, once or
/// more.
inline std::string module_of(std::string key) {
  constexpr std::string_view further = ".base_layer";
  while (key.ends_with(further)) key.resize(key.size() - further.size());
  return key;
}

/// Ranks and scales as a configuration gives them, or, without one, as the tensors do.
class LoraScales {
 public:
  LoraScales() = default;
  LoraScales(const std::filesystem::path& file, const JsonDocument& config)
      : config_(Config{JsonFields(file, config.value), ModulePatterns(file, config, "rank_pattern"),
                       ModulePatterns(file, config, "alpha_pattern")}),
        rank_(config_->fields.count("r")),
        alpha_(config_->fields.positive("lora_alpha")),
        use_rslora_(config_->fields.boolean("use_rslora")) {}

  /// Of the module `key`; 0: any.
  Index rank(const std::string& key) {
    if (!config_) return 0;
    const std::string pattern = config_->ranks.find(key);
    if (pattern.empty()) return rank_;
    return config_->fields.count_of("rank_pattern",
                                    config_->fields.object("rank_pattern")[pattern]);
  }

  /// alpha, where no tensor says it: the configuration's, or without one the rank.
  double alpha(const std::string& key, Index rank) {
    if (!config_) return static_cast<double>(rank);
    const std::string pattern = config_->alphas.find(key);
    if (pattern.empty()) return alpha_;
    return config_->fields.positive_of("alpha_pattern",
                                       config_->fields.object("alpha_pattern")[pattern]);
  }

  double scale(double alpha, Index rank) const { return lora_scale(alpha, rank, use_rslora_); }

 private:
  struct Config {
    JsonFields fields;
    ModulePatterns ranks, alphas;
  };
  std::optional<Config> config_;
  Index rank_ = 0;
  double alpha_ = 0.0;
  bool use_rslora_ = false;
};

/// The tensors of one module become a layer, and one more where its bias is trained too.
class LoraModule {
 public:
  LoraModule(const SafetensorsFile& file, const std::string& key, const PeftTensors::Parts& parts,
             LoraScales& scales, std::vector<std::string>& problems)
      : file_(file), key_(key), parts_(parts), scales_(scales), problems_(problems) {}

  /// `parameters` are those of target_parameters that the module may have; `dora`: whether a
  /// magnitude is expected.
  void read(std::vector<std::string> parameters, bool dora, std::vector<LoraLayer>& layers) {
    for (const char* part : {"lora_mid", "dora_scale"}) {
      if (take(part) == nullptr) continue;
      return complain(std::string(part) + " is of a dialect that is not supported");
    }
    const StoredTensor* down = take("lora_A", "lora_down", "lora_embedding_A");
    const StoredTensor* up = take("lora_B", "lora_up", "lora_embedding_B");
    if (down == nullptr || up == nullptr) {
      problems_.push_back("missing tensor " + in_quotes(key_ + missing(down == nullptr)));
      return;
    }
    LoraLayer layer;
    layer.module = module_of(key_);
    layer.is_embedding = parts_.contains("lora_embedding_A");
    layer.is_flattened = key_.starts_with("lora_") && key_.find('.') == key_.npos;
    layer.parameters = std::move(parameters);
    if (!layer.parameters.empty()) layer.form = WeightForm::experts;
    if (down->shape.size() > 2) layer.form = WeightForm::kernel;
    if (!take_rank(layer, *down, *up)) return;
    const StoredTensor* alpha = take("alpha");
    layer.alpha = alpha != nullptr ? file_.matrix<double>(alpha->name, 1, 1)(0, 0)
                                   : scales_.alpha(pattern_key(layer), layer.rank);
    if (!(layer.alpha > 0.0) || !std::isfinite(layer.alpha)) {
      return complain("expected a finite alpha above 0, got " + std::to_string(layer.alpha));
    }
    layer.scale = scales_.scale(layer.alpha, layer.rank);
    if (layer.form != WeightForm::experts) layer.rank = 0;
    layer.A = flat(*down);
    layer.B = flat(*up);
    take_magnitude(layer, dora);
    if (const StoredTensor* bias = take("lora_B.bias", "lora_up.bias"); bias != nullptr) {
      LoraLayer added{layer.module, flat(*bias, true), Matrix<float>::Ones(1, 1), layer.alpha,
                      layer.scale};
      added.form = WeightForm::vector;
      layers.push_back(std::move(added));
    }
    layers.push_back(std::move(layer));
  }

 private:
  template <typename... Names>
  const StoredTensor* take(const Names&... names) {
    const StoredTensor* found = nullptr;
    const auto look = [&](std::string_view name) {
      const auto part = parts_.find(name);
      if (part == parts_.end()) return;
      if (found != nullptr) {
        complain("tensors " + in_quotes(found->name) + " and " + in_quotes(part->second->name) +
                 " are the same factor");
      }
      found = part->second;
    };
    (look(names), ...);
    return found;
  }

  void complain(const std::string& what) { problems_.push_back(in_quotes(key_) + ": " + what); }

  std::string missing(bool down) const {
    if (parts_.contains("lora_down") || parts_.contains("lora_up")) {
      return down ? ".lora_down.weight" : ".lora_up.weight";
    }
    if (parts_.contains("lora_embedding_A") || parts_.contains("lora_embedding_B")) {
      return down ? ".lora_embedding_A" : ".lora_embedding_B";
    }
    return down ? ".lora_A.weight" : ".lora_B.weight";
  }

  /// What rank_pattern and alpha_pattern are asked for.
  static std::string pattern_key(const LoraLayer& layer) {
    return layer.parameters.empty() ? layer.module : layer.parameters.front();
  }

  bool take_rank(LoraLayer& layer, const StoredTensor& down, const StoredTensor& up) {
    const bool kernel = layer.form == WeightForm::kernel;
    const bool sound = down.shape.size() >= 2 && up.shape.size() == down.shape.size() &&
                       (kernel || down.shape.size() == 2) && down.shape[0] == up.shape[1] &&
                       down.shape[0] > 0;
    const bool points = std::all_of(up.shape.begin() + (sound ? 2 : 0), up.shape.end(),
                                    [&](std::uint64_t extent) { return !sound || extent == 1; });
    Index rank = scales_.rank(pattern_key(layer));
    for (const std::string& parameter : layer.parameters) {
      if (scales_.rank(parameter) == rank) continue;
      complain("expected one rank for all of 'target_parameters' in a module");
      return false;
    }
    const bool fits = sound && points && !down.bytes.empty() && !up.bytes.empty() &&
                      (rank == 0 || down.shape[0] == static_cast<std::uint64_t>(rank) ||
                       (layer.form == WeightForm::experts &&
                        down.shape[0] % static_cast<std::uint64_t>(rank) == 0));
    if (!fits) {
      const std::string r = rank == 0 ? "r" : std::to_string(rank);
      const char* more = kernel ? ", ..." : "";
      complain("expected A [" + r + ", in" + more + "] and B [out, " + r +
               (kernel ? ", 1, ..." : "") + "], got " + shape_text(down.shape) + " and " +
               shape_text(up.shape));
      return false;
    }
    layer.rank = rank == 0 ? static_cast<Index>(down.shape[0]) : rank;
    return true;
  }

  void take_magnitude(LoraLayer& layer, bool dora) {
    const StoredTensor* magnitude = take("lora_magnitude_vector");
    if (magnitude == nullptr) {
      if (dora && layer.form != WeightForm::experts) {
        problems_.push_back("missing tensor " + in_quotes(key_ + ".lora_magnitude_vector"));
      }
      return;
    }
    if (layer.is_embedding || layer.form == WeightForm::experts) {
      return complain("DoRA of this kind of weight is not supported");
    }
    const Matrix<float> norms = flat(*magnitude, true);
    if (norms.size() != layer.B.rows()) {
      return complain("expected a magnitude of " + std::to_string(layer.B.rows()) +
                      " numbers, got shape " + shape_text(magnitude->shape));
    }
    layer.magnitude = norms.col(0);
  }

  /// The first extent by all others, or all as one column.
  Matrix<float> flat(const StoredTensor& tensor, bool column = false) const {
    const MatrixStack size = lorma::flat(tensor.shape);
    if (column) return file_.matrix<float>(tensor.name, size.rows * size.cols, 1);
    return file_.matrix<float>(tensor.name, size.rows, size.cols);
  }

  const SafetensorsFile& file_;
  const std::string& key_;
  const PeftTensors::Parts& parts_;
  LoraScales& scales_;
  std::vector<std::string>& problems_;
};

/// Those of target_parameters that a module may have, as names of tensors.
inline std::vector<std::string> parameters_of(const std::string& module,
                                              const std::vector<std::string>& targets) {
  std::vector<std::string> parameters;
  for (const std::string& target : targets) {
    const std::string name = module + '.' + target.substr(target.rfind('.') + 1);
    if (name == target || name.ends_with('.' + target)) parameters.push_back(name);
  }
  return parameters;
}

/// The tensors' file: a file itself, or that of a directory.
inline std::filesystem::path tensors_in(const std::filesystem::path& path) {
  return path_is_directory(path) ? path / adapter_model_name : path;
}

}  // namespace detail

LORMA_MODEL_FUNCTION PeftLora read_peft_lora(const std::filesystem::path& path) {
  const std::filesystem::path tensors = detail::tensors_in(path);
  PeftLora lora;
  std::vector<std::string> target_parameters;
  bool dora = false;
  std::optional<detail::JsonDocument> config;
  const std::filesystem::path config_path = path / adapter_config_name;
  if (tensors != path) {
    config = detail::read_json_object(config_path);
    detail::refuse_unsupported(config_path, config->value, "LORA");
    const detail::JsonFields fields(config_path, config->value);
    lora.base_model = fields.text("base_model_name_or_path", "");
    lora.task_type = fields.text("task_type", "");
    lora.use_rslora = fields.boolean("use_rslora");
    lora.fan_in_fan_out = fields.boolean("fan_in_fan_out");
    dora = fields.boolean("use_dora");
    target_parameters = detail::names_of(fields, "target_parameters");
  }
  detail::LoraScales scales =
      config ? detail::LoraScales(config_path, *config) : detail::LoraScales();
  lora.file = std::make_shared<const SafetensorsFile>(tensors);
  constexpr std::array<std::string_view, 10> parts = {
      "lora_A",  "lora_B", "lora_embedding_A", "lora_embedding_B", "lora_magnitude_vector",
      "lora_up", "alpha",  "lora_down",        "lora_mid",         "dora_scale"};
  std::vector<std::string> problems;
  detail::PeftTensors found(*lora.file, parts, problems);
  if (config) {
    const detail::JsonFields fields(config_path, config->value);
    found.name_saved(fields, fields.text("bias", "none") != "none");
  }
  lora.saved = found.saved();
  std::set<std::string> modules;
  for (const auto& [module, tensors_of_module] : found.modules()) {
    std::vector<std::string> parameters =
        detail::parameters_of(detail::module_of(module), target_parameters);
    if (parameters.empty()) modules.insert(module);
    detail::LoraModule(*lora.file, module, tensors_of_module, scales, problems)
        .read(std::move(parameters), dora, lora.layers);
  }
  if (found.modules().empty() && problems.empty()) {
    problems.emplace_back("expected the tensors of an adapter, got none");
  }
  detail::throw_problems(tensors, problems);
  if (config) {
    detail::compare_targets(config_path, detail::JsonFields(config_path, config->value), modules,
                            lora.remarks);
  }
  return lora;
}
#endif

}  // namespace lorma::inline LORMA_ABI

#endif
