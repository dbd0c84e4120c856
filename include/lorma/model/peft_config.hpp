// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_PEFT_CONFIG_HPP
#define LORMA_MODEL_PEFT_CONFIG_HPP

/// What the fields of PEFT's adapter_config.json mean: which modules names and patterns are for,
/// and which fields would change the mathematics. Source: PEFT 0.21's own rules.

#include <algorithm>
#include <cctype>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "lorma/io/json_file.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// An expression of a configuration for names of modules. It comes from outside: what ECMAScript
/// and Python read differently is refused, and so are repetition counts, which would let a short
/// expression take any time to compile; matching is polynomial, and its sum is bounded.
class ModuleExpression {
 public:
  /// `before` and `after` are put around it. Throws FormatError.
  ModuleExpression(const std::filesystem::path& file, const std::string& field,
                   const std::string& expression, const std::string& before,
                   const std::string& after)
      : file_(file), field_(field), cost_(static_cast<double>(expression.size())) {
    const auto refuse = [&](const char* what) {
      json_error(file, in_quotes(field) + ": expected a name or a regular expression without " +
                           std::string(what) + ", got " + in_quotes(expression));
    };
    for (std::size_t i = 0; i < expression.size(); ++i) {
      const char c = expression[i];
      const char next = i + 1 < expression.size() ? expression[i + 1] : '\0';
      if (static_cast<unsigned char>(c) >= 0x80) refuse("letters beyond ASCII");
      if (c == '{') refuse("repetition counts");
      if (c == '[' && (next == '[' || expression.compare(i, 3, "[^[") == 0)) refuse("classes");
      if (c == '(' && next == '?' && expression.compare(i, 3, "(?:") != 0) {
        refuse("groups of a kind of their own");
      }
      if (c != '\\') continue;
      const bool letter = ('a' <= next && next <= 'z') || ('A' <= next && next <= 'Z') ||
                          ('0' <= next && next <= '9');
      if (letter && std::string_view("dDwWsSbB").find(next) == std::string_view::npos) {
        refuse("escapes other than \\d \\w \\s \\b");
      }
      ++i;
    }
    auto flags = std::regex::ECMAScript;
#ifdef __GLIBCXX__
    flags |= std::regex_constants::__polynomial;
#endif
    try {
      regex_.assign(before + expression + after, flags);
    } catch (const std::regex_error&) {
      refuse("errors");
    }
  }

  /// Whether it means the whole of the name. `spent` is what all matching has cost so far.
  bool matches(const std::string& name, double& spent) const {
    spent += cost_ * static_cast<double>(name.size());
    if (spent > 2e8) {  // about ten seconds
      json_error(file_, in_quotes(field_) + ": expected fewer or shorter expressions");
    }
    if (std::any_of(name.begin(), name.end(),
                    [](char c) { return static_cast<unsigned char>(c) >= 0x80; })) {
      json_error(file_, in_quotes(field_) + ": expected names in ASCII beside expressions, got " +
                            in_quotes(name));
    }
    return std::regex_match(name, regex_);
  }

 private:
  std::filesystem::path file_;
  std::string field_;
  double cost_;
  std::regex regex_;
};

inline constexpr std::string_view regex_characters = "^$\\*+?()[]{}|";

/// Keys of rank_pattern or alpha_pattern: each an expression for the name of a module, or for the
/// end of it behind a dot. The first that means a module counts, in the order of the file.
class ModulePatterns {
 public:
  ModulePatterns(const std::filesystem::path& file, const JsonDocument& config,
                 const std::string& field)
      : keys_(config.keys(field)) {
    for (const std::string& key : keys_) {
      compiled_.emplace_back();
      if (key.find_first_of(regex_characters) == key.npos) continue;
      if (const std::string name = exact_name(key); !name.empty()) {
        compiled_.back().exact = name;
      } else {
        compiled_.back().expression.emplace(file, field, key, "(.*\\.)?(", ")");
      }
    }
  }

  /// The key for a module; empty if none means it.
  std::string find(const std::string& module) {
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      if (means(i, module)) return keys_[i];
    }
    return "";
  }

  /// The key that means one module alone.
  static std::string exact_key(const std::string& module) {
    std::string key = "^";
    for (const char c : module) {
      if (c == '.' || regex_characters.find(c) != regex_characters.npos) key += '\\';
      key += c;
    }
    return key;
  }

 private:
  struct Compiled {
    std::string exact;  ///< the one name that is meant; empty: see expression
    std::optional<ModuleExpression> expression;  ///< nothing: the key is a name
  };

  /// The name that exact_key made the key of; empty for other keys.
  static std::string exact_name(const std::string& key) {
    if (key.empty() || key[0] != '^') return "";
    std::string name;
    for (std::size_t i = 1; i < key.size(); ++i) {
      if (key[i] == '\\' && i + 1 < key.size() &&
          !std::isalnum(static_cast<unsigned char>(key[i + 1]))) {
        name += key[++i];
      } else if (key[i] == '.' || regex_characters.find(key[i]) != regex_characters.npos) {
        return "";
      } else {
        name += key[i];
      }
    }
    return name;
  }

  bool means(std::size_t i, const std::string& module) {
    const std::string& key = keys_[i];
    const Compiled& compiled = compiled_[i];
    if (!compiled.exact.empty()) return compiled.exact == module;
    if (compiled.expression) return compiled.expression->matches(module, spent_);
    // A name, in which a dot is any character.
    if (key.size() > module.size()) return false;
    const std::size_t at = module.size() - key.size();
    return (at == 0 || module[at - 1] == '.') &&
           std::equal(key.begin(), key.end(), module.begin() + static_cast<std::ptrdiff_t>(at),
                      [](char k, char m) { return k == m || k == '.'; });
  }

  std::vector<std::string> keys_;
  std::vector<Compiled> compiled_;
  double spent_ = 0.0;
};

/// What target_modules of a configuration asks for.
class TargetModules {
 public:
  TargetModules(const std::filesystem::path& file, const JsonFields& fields) {
    const nlohmann::json& value = fields.find("target_modules");
    if (value.is_null()) return;
    if (value.is_string()) {
      const auto text = value.get<std::string>();
      const std::string_view all = "all-linear";
      const bool is_all = std::equal(text.begin(), text.end(), all.begin(), all.end(),
                                     [](char t, char a) { return t == a || t + 32 == a; });
      if (!is_all) expression_.emplace(file, "target_modules", text, "", "");
      return;
    }
    if (!value.is_array()) fields.refuse("target_modules", "a list of names or an expression");
    for (const nlohmann::json& name : value) {
      if (!name.is_string()) fields.refuse("target_modules", "a list of names or an expression");
      names_.insert(name.get<std::string>());
    }
    is_list_ = true;
  }

  bool contain(const std::string& module) {
    if (!is_list_) return !expression_ || expression_->matches(module, spent_);
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
  bool is_list_ = false;
  std::set<std::string> names_;
  std::optional<ModuleExpression> expression_;  ///< nothing: every module
  double spent_ = 0.0;
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
    const bool is_empty =
        value.is_string() ? value.get_ref<const std::string&>().empty() : value.empty();
    if (!is_empty && value != false && value != 0 && !is_harmless_lora_field(field.key())) {
      problems.push_back(in_quotes(field.key()) + " is not supported");
    }
  }
  throw_problems(file, problems);
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
