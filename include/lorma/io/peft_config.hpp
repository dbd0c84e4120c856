// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_PEFT_CONFIG_HPP
#define LORMA_IO_PEFT_CONFIG_HPP

/// What the fields of PEFT's adapter_config.json mean: which modules names and patterns are for,
/// and which fields would change the mathematics. Source: PEFT 0.21's own rules.

#include <algorithm>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lorma/io/json_file.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// Whether the whole of `text` is of the expression, by PEFT's rules. It comes from outside, so
/// matching is polynomial and lengths are bounded.
inline bool matches(const std::filesystem::path& file, const std::string& field,
                    const std::string& expression, const std::string& text) {
  constexpr std::size_t longest = 1000;
  if (expression.size() > longest || text.size() > longest) {
    json_error(file, in_quotes(field) + ": expected expressions and names of at most 1000 bytes");
  }
  auto flags = std::regex::ECMAScript;
#ifdef __GLIBCXX__
  flags |= std::regex_constants::__polynomial;
#endif
  try {
    return std::regex_match(text, std::regex(expression, flags));
  } catch (const std::regex_error&) {
    json_error(file, in_quotes(field) + ": expected a name or a regular expression, got " +
                         in_quotes(expression));
  }
}

/// The first key of rank_pattern or alpha_pattern that means the module, in the order of the file;
/// empty if none does. A key is an expression for the name, or for the end of it behind a dot.
inline std::string pattern_of(const std::filesystem::path& file, const JsonDocument& config,
                              const std::string& field, const std::string& module) {
  const auto same = [](char k, char m) { return k == m || k == '.'; };
  for (const std::string& key : config.keys(field)) {
    if (key.find_first_of("^$\\*+?()[]{}|") != key.npos) {
      if (matches(file, field, "(.*\\.)?(" + key + ")", module)) return key;
    } else if (key.size() <= module.size()) {  // a name, as most keys are
      const std::size_t at = module.size() - key.size();
      const bool ends =
          std::equal(key.begin(), key.end(), module.begin() + std::ptrdiff_t(at), same);
      if (ends && (at == 0 || module[at - 1] == '.')) return key;
    }
  }
  return "";
}

/// What target_modules of a configuration asks for.
class TargetModules {
 public:
  TargetModules(const std::filesystem::path& file, const JsonFields& fields) : file_(file) {
    const nlohmann::json& value = fields.find("target_modules");
    if (value.is_null()) return;
    if (value.is_string()) {
      expression_ = value.get<std::string>();
      if (expression_ == "all-linear") expression_.clear();
      return;
    }
    if (!value.is_array()) fields.refuse("target_modules", "a list of names or an expression");
    for (const nlohmann::json& name : value) {
      if (!name.is_string()) fields.refuse("target_modules", "a list of names or an expression");
      names_.insert(name.get<std::string>());
    }
    is_list_ = true;
  }

  bool contain(const std::string& module) const {
    if (!is_list_) {
      return expression_.empty() || matches(file_, "target_modules", expression_, module);
    }
    // Every end of the name that begins behind a dot.
    for (std::size_t at = 0;; ++at) {
      if (names_.contains(module.substr(at))) return true;
      at = module.find('.', at);
      if (at == module.npos) return false;
    }
  }

  /// Names that none of the modules bears.
  std::vector<std::string> absent_from(const std::set<std::string>& modules) const {
    std::set<std::string> left = names_;
    for (const std::string& module : modules) {
      for (std::size_t at = 0;; ++at) {
        left.erase(module.substr(at));
        at = module.find('.', at);
        if (at == module.npos) break;
      }
    }
    return {left.begin(), left.end()};
  }

 private:
  const std::filesystem::path& file_;
  bool is_list_ = false;
  std::set<std::string> names_;
  std::string expression_;  ///< empty: every module
};

/// Fields that leave the product of saved factors and base as it is, or are read.
inline bool is_harmless_lora_field(std::string_view key) {
  constexpr std::string_view known[] = {"alpha_pattern",
                                        "auto_mapping",
                                        "base_model_name_or_path",
                                        "bias",
                                        "corda_config",
                                        "ensure_weight_tying",
                                        "eva_config",
                                        "exclude_modules",
                                        "fan_in_fan_out",
                                        "inference_mode",
                                        "init_lora_weights",
                                        "layers_pattern",
                                        "loftq_config",
                                        "layers_to_transform",
                                        "lora_alpha",
                                        "lora_dropout",
                                        "lora_ga_config",
                                        "megatron_config",
                                        "megatron_core",
                                        "peft_type",
                                        "peft_version",
                                        "r",
                                        "qalora_group_size",
                                        "rank_pattern",
                                        "revision",
                                        "runtime_config",
                                        "target_modules",
                                        "task_type",
                                        "use_rslora",
                                        "velora_config"};
  return std::find(std::begin(known), std::end(known), key) != std::end(known);
}

/// Throws FormatError that names every field whose meaning would be lost.
inline void refuse_unsupported_lora(const std::filesystem::path& file,
                                    const nlohmann::json& config) {
  const JsonFields fields(file, config);
  std::vector<std::string> problems;
  if (const std::string type = fields.text("peft_type"); type != "LORA") {
    problems.push_back("expected 'peft_type' LORA, got " + in_quotes(type));
  }
  if (const std::string bias = fields.text("bias", "none"); bias != "none") {
    problems.push_back("expected 'bias' none, got " + in_quotes(bias) +
                       " (trained biases are not supported)");
  }
  // These ways to start take something out of the base weights, on which the factors then build.
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
    const bool set = !(value.is_null() || value == false || value == 0 || value == "" ||
                       (value.is_structured() && value.empty()));
    if (set && !is_harmless_lora_field(field.key())) {
      problems.push_back(in_quotes(field.key()) + " is not supported");
    }
  }
  throw_problems(file, problems);
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
