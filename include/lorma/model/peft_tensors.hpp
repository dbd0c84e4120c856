// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_PEFT_TENSORS_HPP
#define LORMA_MODEL_PEFT_TENSORS_HPP

/// The keys of an adapter's file taken apart: which part of which module each tensor is.
///
///   base_model.model.h.0.q.lora_A.weight            h.0.q, lora_A
///   base_model.model.h.0.q.lora_A.default.weight    the same: "default" is an adapter's name
///   base_model.model.h.0.q.lora_B.bias              h.0.q, lora_B.bias
///   base_model.model.h.0.q.base_layer.bias          the whole tensor h.0.q.bias
///   base_model.model.score.weight                   the whole tensor score.weight
///   lora_unet_mid_block_0_q.lora_down.weight        lora_unet_mid_block_0_q, lora_down
///
/// Sources: the files that peft writes and has written, and kohya's sd-scripts.

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/io/safetensors_reader.hpp"
#include "lorma/model/peft_config.hpp"

namespace lorma::inline LORMA_ABI {

/// A tensor that an adapter brings along whole, in place of the base's or added to it.
struct SavedTensor {
  std::string name;  ///< in the base
  const StoredTensor* tensor = nullptr;
  bool is_named = false;  ///< the configuration says that it is there: modules_to_save, bias
};

namespace detail {

/// Throws Error where an adapter brings whole tensors along, which only some verbs can keep.
inline void require_no_saved(const std::vector<SavedTensor>& saved,
                             const std::filesystem::path& path, const char* verb) {
  if (saved.empty()) return;
  throw Error(in_quotes(path.string(), 1024) + ": expected an adapter of factors alone to " + verb +
              ", got whole tensors, such as " + in_quotes(saved.front().name));
}

/// What PEFT puts before the name of a module.
inline constexpr std::string_view peft_prefix = "base_model.model.";

/// Parts "a", "b", "c" of "a.b.c".
inline std::vector<std::string_view> split_name(std::string_view name) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0;;) {
    const std::size_t dot = name.find('.', begin);
    parts.push_back(name.substr(begin, dot - begin));
    if (dot == name.npos) return parts;
    begin = dot + 1;
  }
}

inline std::string joined_name(std::span<const std::string_view> parts) {
  std::string name;
  for (const std::string_view part : parts) {
    if (!name.empty()) name += '.';
    name += part;
  }
  return name;
}

/// Whether a part of a name is one that only adapters have: an unknown tensor with one is refused,
/// not taken for a whole one.
inline bool is_part_of_an_adapter(std::string_view part) {
  constexpr std::string_view beginnings[] = {
      "lora_",     "lorma_",     "ia3_", "hra_",  "road_",     "deft_",         "hada_",
      "lokr_",     "vera_",      "oft_", "boft_", "dora_",     "token_adapter", "trainable_tokens",
      "adaption_", "fourierft_", "c3a_", "miss_", "randlora_", "vblora_"};
  return std::any_of(std::begin(beginnings), std::end(beginnings),
                     [part](std::string_view begin) { return part.starts_with(begin); });
}

class PeftTensors {
 public:
  using Parts = std::map<std::string, const StoredTensor*, std::less<>>;

  /// `known`: the parts that the method has. Tensors that are none of these are whole ones, or
  /// problems.
  PeftTensors(const SafetensorsFile& file, std::span<const std::string_view> known,
              std::vector<std::string>& problems) {
    std::set<std::string, std::less<>> adapters;
    for (const StoredTensor& tensor : file.tensors()) {
      std::string_view name = tensor.name;
      if (name.starts_with(peft_prefix)) name.remove_prefix(peft_prefix.size());
      const std::vector<std::string_view> parts = split_name(name);
      std::size_t at = parts.size() < 3 ? 0 : parts.size() - 3;
      while (at < parts.size() && std::find(known.begin(), known.end(), parts[at]) == known.end()) {
        ++at;
      }
      if (at == 0 || at == parts.size()) {
        whole(tensor, parts, adapters, problems);
        continue;
      }
      std::string part(parts[at]);
      std::size_t behind = at + 1;
      const auto is_leaf = [](std::string_view p) { return p == "weight" || p == "bias"; };
      if (behind < parts.size() && !is_leaf(parts[behind])) adapters.emplace(parts[behind++]);
      if (behind < parts.size() && parts[behind] == "bias") part += ".bias";
      if (behind < parts.size() && !(is_leaf(parts[behind]) && behind + 1 == parts.size())) {
        problems.push_back("unexpected tensor " + in_quotes(tensor.name));
        continue;
      }
      const auto [entry, is_new] =
          modules_[joined_name(std::span(parts).first(at))].try_emplace(part, &tensor);
      if (!is_new) {
        problems.push_back("tensors " + in_quotes(entry->second->name) + " and " +
                           in_quotes(tensor.name) + " are the same factor");
      }
    }
    if (adapters.size() > 1) {
      problems.push_back("expected the tensors of one adapter, got those of " +
                         in_quotes(*adapters.begin()) + " and " + in_quotes(*adapters.rbegin()));
    }
  }

  /// By module, as the keys name it.
  const std::map<std::string, Parts>& modules() const { return modules_; }
  const std::vector<SavedTensor>& saved() const { return saved_; }

  /// Marks those that the configuration names: modules_to_save, and biases where it has any.
  void name_saved(const JsonFields& fields, bool biases) {
    const std::vector<std::string> names = names_of(fields, "modules_to_save");
    const std::set<std::string, std::less<>> modules_to_save(names.begin(), names.end());
    for (SavedTensor& tensor : saved_) {
      const std::string_view name = tensor.name;
      tensor.is_named = biases && (name == "bias" || name.ends_with(".bias"));
      // "score" of "score.weight" and of "model.score.dense.weight". The cost is quadratic, so only
      // the first 1024 bytes are searched.
      const std::size_t longest = std::min<std::size_t>(name.size(), 1024);
      for (std::size_t begin = 0; begin < longest; ++begin) {
        for (std::size_t end = name.find('.', begin); end < longest;
             end = name.find('.', end + 1)) {
          if (modules_to_save.contains(name.substr(begin, end - begin))) tensor.is_named = true;
        }
        begin = std::min(name.find('.', begin), longest);
      }
    }
  }

 private:
  void whole(const StoredTensor& tensor, const std::vector<std::string_view>& parts,
             std::set<std::string, std::less<>>& adapters, std::vector<std::string>& problems) {
    std::vector<std::string_view> kept;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (is_part_of_an_adapter(parts[i])) {
        problems.push_back("unexpected tensor " + in_quotes(tensor.name));
        return;
      }
      if (parts[i] == "base_layer") continue;
      if (parts[i] == "original_module") return;  // what the base has, kept beside its copy
      if (parts[i] == "modules_to_save") {
        if (i + 2 < parts.size()) adapters.emplace(parts[++i]);
        continue;
      }
      kept.push_back(parts[i]);
    }
    const std::string name = joined_name(kept);
    if (!names_.insert(name).second) {
      problems.push_back("tensor " + in_quotes(tensor.name) + " stands twice for " +
                         in_quotes(name));
    }
    saved_.push_back({name, &tensor, false});
  }

  std::map<std::string, Parts> modules_;
  std::vector<SavedTensor> saved_;
  std::set<std::string> names_;  // of saved_
};

}  // namespace detail

}  // namespace lorma::inline LORMA_ABI

#endif
