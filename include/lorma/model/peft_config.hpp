// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_PEFT_CONFIG_HPP
#define LORMA_MODEL_PEFT_CONFIG_HPP

/// Which fields of PEFT's adapter_config.json are read, which leave the mathematics alone, and
/// which would change it. Source: PEFT 0.21's own rules.

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "lorma/io/json_file.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// Whether a field, of all methods or of this one, is read here, or leaves what the saved tensors
/// make of the base unchanged.
inline bool is_harmless_field(std::string_view method, std::string_view key) {
  constexpr std::string_view common[] = {"auto_mapping",
                                         "base_model_name_or_path",
                                         "bias",
                                         "exclude_modules",
                                         "inference_mode",
                                         "init_weights",
                                         "layers_pattern",
                                         "layers_to_transform",
                                         "modules_to_save",
                                         "peft_type",
                                         "peft_version",
                                         "r",
                                         "revision",
                                         "runtime_config",
                                         "target_modules",
                                         "task_type"};
  constexpr std::string_view lora[] = {
      "alpha_pattern",  "corda_config",      "ensure_weight_tying", "eva_config",
      "fan_in_fan_out", "init_lora_weights", "loftq_config",        "lora_alpha",
      "lora_bias",      "lora_dropout",      "lora_ga_config",      "megatron_config",
      "megatron_core",  "qalora_group_size", "rank_pattern",        "target_parameters",
      "use_dora",       "use_rslora",        "velora_config"};
  constexpr std::string_view ia3[] = {"fan_in_fan_out", "feedforward_modules", "init_ia3_weights"};
  constexpr std::string_view hra[] = {"apply_GS"};
  constexpr std::string_view road[] = {"group_size", "variant"};
  constexpr std::string_view deft[] = {"alpha",          "decomposition_method", "deft_dropout",
                                       "fan_in_fan_out", "init_scale",           "para"};
  const auto has = [key](const auto& fields) {
    return std::find(std::begin(fields), std::end(fields), key) != std::end(fields);
  };
  return has(common) || (method == "LORA" && has(lora)) || (method == "IA3" && has(ia3)) ||
         (method == "HRA" && has(hra)) || (method == "ROAD" && has(road)) ||
         (method == "DEFT" && has(deft));
}

/// Throws FormatError that names every field whose meaning would be lost.
inline void refuse_unsupported(const std::filesystem::path& file, const nlohmann::json& config,
                               const std::string& method) {
  const JsonFields fields(file, config);
  std::vector<std::string> problems;
  if (const std::string type = fields.text("peft_type"); type != method) {
    problems.push_back("expected 'peft_type' " + method + ", got " + in_quotes(type));
  }
  // These initializations change the base weights, and the factors are trained on top of that.
  if (const nlohmann::json& start = fields.find("init_lora_weights"); start.is_string()) {
    std::string name = start.get<std::string>();
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return 'A' <= c && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    for (const char* changes_base : {"pissa", "corda", "olora", "loftq", "lora_ga"}) {
      if (!name.starts_with(changes_base)) continue;
      problems.push_back("'init_lora_weights' " + in_quotes(name) +
                         " is not supported: it changes the base weights (PEFT's save_pretrained "
                         "can convert such an adapter to plain LoRA)");
    }
  }
  for (const auto& field : config.items()) {
    const nlohmann::json& value = field.value();
    const bool is_empty =
        value.is_string() ? value.get_ref<const std::string&>().empty() : value.empty();
    if (!is_empty && value != false && value != 0 && !is_harmless_field(method, field.key())) {
      problems.push_back(in_quotes(field.key()) + " is not supported");
    }
  }
  throw_problems(file, problems);
}

/// A list of names, empty where the field is absent. Throws FormatError for other values.
inline std::vector<std::string> names_of(const JsonFields& fields, const std::string& key) {
  std::vector<std::string> names;
  const nlohmann::json& value = fields.find(key);
  if (value.is_null()) return names;
  if (!value.is_array()) fields.refuse(key, "a list of names");
  for (const nlohmann::json& name : value) {
    if (!name.is_string()) fields.refuse(key, "a list of names");
    names.push_back(name.get<std::string>());
  }
  return names;
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
