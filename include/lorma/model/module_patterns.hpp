// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_MODULE_PATTERNS_HPP
#define LORMA_MODEL_MODULE_PATTERNS_HPP

/// Which modules the names and expressions of PEFT's configurations mean: rank_pattern,
/// alpha_pattern, target_modules. Source: PEFT 0.21's own rules, which are Python's `re`.

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/io/json_file.hpp"
#include "lorma/patterns/pattern.hpp"

namespace lorma::inline LORMA_ABI::detail {

inline constexpr std::string_view regex_characters = "^$\\*+?()[]{}|";

inline std::string where_in(const std::filesystem::path& file, const std::string& field) {
  return in_quotes(file.string(), 1024) + ": " + in_quotes(field);
}

/// Names, in which a dot is any character and which may be ends of a module's name after a dot. The
/// first of those that mean a module is found in time proportional to the module's name.
class ModuleEnds {
 public:
  void add(std::string_view name, std::size_t place) {
    reversed_.push_back({{name.rbegin(), name.rend()}, place});
  }
  /// Once, after the last add.
  void sort() { std::sort(reversed_.begin(), reversed_.end()); }

  static constexpr std::size_t none = static_cast<std::size_t>(-1);

  /// The least place of the names that mean the module; `none` if none does.
  std::size_t least(std::string_view module) const {
    std::size_t result = none;
    // Names [first, last) share their last `depth` letters, as the sorted list is a tree.
    struct Branch {
      std::size_t first, last, depth;
    };
    std::vector<Branch> open{{0, reversed_.size(), 0}};
    while (!open.empty()) {
      auto [first, last, depth] = open.back();
      open.pop_back();
      if (first < last && reversed_[first].first.size() == depth) {
        const bool is_end = depth == module.size() || module[module.size() - 1 - depth] == '.';
        if (is_end) result = std::min(result, reversed_[first].second);
        ++first;
      }
      if (first == last || depth == module.size()) continue;
      const char letter = module[module.size() - 1 - depth];
      const auto descend = [&, first = first, last = last, depth = depth](char wanted) {
        const auto at = [&](std::size_t i) {
          return reversed_.begin() + static_cast<std::ptrdiff_t>(i);
        };
        const auto byte = [depth](const Entry& e) {
          return static_cast<unsigned char>(e.first[depth]);
        };
        const auto wanted_byte = static_cast<unsigned char>(wanted);
        const auto low = std::partition_point(
            at(first), at(last), [&](const Entry& e) { return byte(e) < wanted_byte; });
        const auto high = std::partition_point(
            low, at(last), [&](const Entry& e) { return byte(e) == wanted_byte; });
        if (low == high) return;
        open.push_back({static_cast<std::size_t>(low - reversed_.begin()),
                        static_cast<std::size_t>(high - reversed_.begin()), depth + 1});
      };
      descend(letter);
      if (letter != '.') descend('.');
    }
    return result;
  }

 private:
  using Entry = std::pair<std::string, std::size_t>;
  std::vector<Entry> reversed_;
};

/// Keys of rank_pattern or alpha_pattern: each an expression for the name of a module, or for the
/// end of it after a dot. The first that means a module counts, in the order of the file.
class ModulePatterns {
 public:
  /// Throws FormatError for an expression that cannot be read.
  ModulePatterns(const std::filesystem::path& file, const JsonDocument& config,
                 const std::string& field)
      : where_(where_in(file, field)), keys_(config.keys(field)) {
    static_cast<void>(JsonFields(file, config.value).object(field));  // or refused
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      const std::string& key = keys_[i];
      if (key.find_first_of(regex_characters) == key.npos) {
        ends_.add(key, i);
      } else if (const std::string name = exact_name(key); !name.empty()) {
        exact_.try_emplace(name, i);
      } else {
        expressions_.emplace_back(i, Pattern("(.*\\.)?(" + key + ")", where_in(file, field)));
      }
    }
    ends_.sort();
  }

  /// The key for a module; empty if none means it. Throws FormatError as Pattern does, and where
  /// expressions have been tried too often.
  std::string find(const std::string& module) {
    std::size_t least = ends_.least(module);
    if (const auto found = exact_.find(module); found != exact_.end()) {
      least = std::min(least, found->second);
    }
    for (auto& [place, pattern] : expressions_) {
      if (place > least) break;
      if (++tried_ > most_tried) throw FormatError(where_ + ": expected fewer expressions");
      if (pattern.matches(module)) least = place;
    }
    return least == ModuleEnds::none ? "" : keys_[least];
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

  static constexpr std::size_t most_tried = 5'000'000;  // some ten seconds

  std::string where_;
  std::vector<std::string> keys_;
  std::size_t tried_ = 0;
  std::map<std::string, std::size_t> exact_;
  ModuleEnds ends_;
  std::vector<std::pair<std::size_t, Pattern>> expressions_;
};

/// Modules as a configuration names them: by a list of names, which may be ends of a module's name
/// after a dot, or by one expression for the whole of it.
class ModuleNames {
 public:
  /// Throws FormatError for an expression that cannot be read, and for what is neither of the two.
  ModuleNames(const std::filesystem::path& file, const JsonFields& fields, const std::string& key) {
    const nlohmann::json& value = fields.find(key);
    if (value.is_string()) {
      expression_.emplace(value.get<std::string>(), where_in(file, key));
    } else if (value.is_array()) {
      for (const nlohmann::json& name : value) {
        if (!name.is_string()) fields.refuse(key, "a list of names or an expression");
        names_.insert(name.get<std::string>());
      }
    } else if (!value.is_null()) {
      fields.refuse(key, "a list of names or an expression");
    }
  }

  /// Whether they mean a module; the names of the list that do are put into `used`.
  bool mean(std::string_view module, std::set<std::string_view>* used = nullptr) {
    if (expression_) return expression_->matches(module);
    bool found = false;
    for (std::size_t at = 0;; ++at) {
      if (const auto name = names_.find(module.substr(at)); name != names_.end()) {
        found = true;
        if (used != nullptr) used->insert(*name);
      }
      at = module.find('.', at);
      if (at == module.npos) return found;
    }
  }
  const std::set<std::string, std::less<>>& names() const { return names_; }

 private:
  std::set<std::string, std::less<>> names_;
  std::optional<Pattern> expression_;
};

/// Compares what target_modules of a configuration names with the modules that an adapter has
/// tensors for. The tensors decide what is adapted; where the two differ, a remark says so.
inline void compare_targets(const std::filesystem::path& file, const JsonFields& fields,
                            const std::set<std::string>& modules,
                            std::vector<std::string>& remarks) {
  const nlohmann::json& value = fields.find("target_modules");
  const auto is_all_linear = [&] {
    const auto& text = value.get_ref<const std::string&>();
    const std::string_view all = "all-linear";
    return std::equal(text.begin(), text.end(), all.begin(), all.end(),
                      [](char t, char a) { return t == a || t + 32 == a; });
  };
  if (value.is_null() || (value.is_string() && is_all_linear())) return;
  try {
    ModuleNames targets(file, fields, "target_modules");
    std::vector<std::string> beyond;
    std::set<std::string_view> used;
    for (const std::string& module : modules) {
      if (!targets.mean(module, &used)) beyond.push_back(in_quotes(module));
    }
    if (!beyond.empty()) {
      remarks.push_back("the adapter has tensors for what 'target_modules' does not name: " +
                        listed(beyond));
    }
    for (const std::string& name : targets.names()) {
      if (used.contains(name)) continue;
      remarks.push_back("'target_modules' names " + in_quotes(name) +
                        ", for which the adapter has no tensors");
    }
  } catch (const FormatError& error) {
    remarks.push_back(std::string("'target_modules' was not read: ") + error.what());
  }
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
