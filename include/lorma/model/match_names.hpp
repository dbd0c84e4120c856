// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_MATCH_NAMES_HPP
#define LORMA_MODEL_MATCH_NAMES_HPP

/// Names of an adapter's weights and names of a checkpoint's tensors, which often differ in what
/// stands before them: `model.language_model.layers.0` here is `model.layers.0` there.
///
/// A name that the checkpoint lacks is looked up by its longest possible end among the tensors that
/// it would fit. What precedes that end is a prefix; names of one prefix are a group, and a
/// group takes the one prefix in its place with which all of them have a partner.

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "lorma/io/message.hpp"
#include "lorma/model/checkpoint.hpp"
#include "lorma/model/compiled.hpp"

namespace lorma::inline LORMA_ABI::model {

/// One beginning of names in place of another; either may be empty.
struct Rename {
  std::string from;
  std::string to;

  /// The name with the new beginning; unchanged where it does not begin with `from`.
  std::string of(const std::string& name) const {
    return name.starts_with(from) ? to + name.substr(from.size()) : name;
  }
};

namespace detail {

/// Whether a part between dots is a number, such as a layer's.
inline bool has_number(std::string_view prefix) {
  for (std::size_t at = 0; at < prefix.size();) {
    const std::size_t end = std::min(prefix.find('.', at), prefix.size());
    const std::string_view part = prefix.substr(at, end - at);
    if (!part.empty() && part.find_first_not_of("0123456789") == part.npos) return true;
    at = end + 1;
  }
  return false;
}

/// The tensors of a checkpoint by their names and by every end of them that follows a dot and has
/// one.
class TensorsByEnd {
 public:
  explicit TensorsByEnd(const Checkpoint& base) {
    for (const auto& file : base.files()) {
      for (const StoredTensor& tensor : file->tensors()) {
        const std::string_view name = tensor.name;
        std::size_t at = 0;
        do {
          const std::string_view end = name.substr(at);
          if (at == 0 || end.find('.') != end.npos) by_end_[end].push_back(&tensor);
          at = name.find('.', at) + 1;
        } while (at != 0);
      }
    }
  }

  const std::vector<const StoredTensor*>& with(std::string_view end) const {
    static const std::vector<const StoredTensor*> none;
    const auto found = by_end_.find(end);
    return found == by_end_.end() ? none : found->second;
  }

 private:
  std::unordered_map<std::string_view, std::vector<const StoredTensor*>> by_end_;
};

/// A name without a partner of its own, and what may stand in place of its prefix.
struct Wanted {
  std::size_t index = 0;  ///< of the name, among those given
  std::string_view end;   ///< what the candidates' names end in
  std::set<std::string_view> prefixes;
};

/// `fits(i, tensor)`: whether the i-th name may mean the tensor. A layer's number is never taken
/// for another's: of the two prefixes at most one has a number.
template <typename Fits>
Wanted wanted_of(const TensorsByEnd& ends, const std::string& name, std::size_t index,
                 Fits&& fits) {
  constexpr std::size_t most = 256;  // of one end: where more have it, it lacks a layer's number
  for (std::size_t at = 0;; at = name.find('.', at) + 1) {
    Wanted wanted{index, std::string_view(name).substr(at), {}};
    const auto& candidates = ends.with(wanted.end);
    const bool numbered = has_number(std::string_view(name).substr(0, at));
    if (candidates.size() <= most) {
      for (const StoredTensor* tensor : candidates) {
        const std::string_view all = tensor->name;
        const std::string_view prefix = all.substr(0, all.size() - wanted.end.size());
        if ((!numbered || !has_number(prefix)) && fits(index, *tensor)) {
          wanted.prefixes.insert(prefix);
        }
      }
    }
    if (!wanted.prefixes.empty() || name.find('.', at) == name.npos) return wanted;
  }
}

inline std::string in_words(const Rename& rename, std::size_t count) {
  const std::string many = count == 1 ? " (1 weight)" : " (" + std::to_string(count) + " weights)";
  if (rename.to.empty()) {
    return "the adapter's names have the prefix " + lorma::detail::in_quotes(rename.from) +
           ", which the base's tensors lack" + many;
  }
  if (rename.from.empty()) {
    return "the base's tensors have the prefix " + lorma::detail::in_quotes(rename.to) +
           ", which the adapter's names lack" + many;
  }
  return "the prefix " + lorma::detail::in_quotes(rename.from) + " of the adapter's names is " +
         lorma::detail::in_quotes(rename.to) + " in the base" + many;
}

/// The prefixes that stand in place of one group's, one for each of its names; a sentence in
/// `problems` for a name that has several.
inline std::vector<std::pair<const Wanted*, std::string>> settle_group(
    const std::string& from, const std::vector<const Wanted*>& group,
    std::vector<std::string>& problems) {
  std::map<std::string_view, std::size_t> votes;
  std::set<std::string_view> sure;
  for (const Wanted* wanted : group) {
    for (const std::string_view prefix : wanted->prefixes) ++votes[prefix];
    if (wanted->prefixes.size() == 1) sure.insert(*wanted->prefixes.begin());
  }
  std::vector<std::string_view> common;
  for (const auto& [prefix, count] : votes) {
    if (count == group.size()) common.push_back(prefix);
  }
  std::vector<std::pair<const Wanted*, std::string>> result;
  for (const Wanted* wanted : group) {
    std::vector<std::string_view> left;
    for (const std::string_view prefix : wanted->prefixes) {
      const bool is_common = std::find(common.begin(), common.end(), prefix) != common.end();
      if (common.empty() ? sure.contains(prefix) : is_common) left.push_back(prefix);
    }
    if (left.size() == 1) {
      result.emplace_back(wanted, std::string(left.front()));
      continue;
    }
    if (left.empty()) left.assign(wanted->prefixes.begin(), wanted->prefixes.end());
    const auto full = [&](std::string_view prefix) {
      return lorma::detail::in_quotes(std::string(prefix) + std::string(wanted->end));
    };
    problems.push_back(lorma::detail::in_quotes(from + std::string(wanted->end)) + " may be " +
                       full(left[0]) + " or " + full(left[1]) +
                       (left.size() > 2 ? ", and there are more" : "") + ": expected --rename " +
                       lorma::detail::escaped(from) + "=" + lorma::detail::escaped(left[0]) +
                       " or its like to decide");
  }
  return result;
}

}  // namespace detail

/// Puts the base's names in place of those of `names` that it lacks, where there is only one way to
/// do so. `fits(i, tensor)` tells whether the i-th name may mean a tensor, by its shape. What
/// was done goes to `remarks`, a name with several partners to `problems`; one without stays as it
/// is. Cost: proportional to the names of both.
template <typename Fits>
void match_names(const Checkpoint& base, std::vector<std::string*> names, Fits&& fits,
                 std::vector<std::string>& remarks, std::vector<std::string>& problems) {
  std::vector<std::size_t> lacking;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (base.find(*names[i]).file == nullptr) lacking.push_back(i);
  }
  if (lacking.empty()) return;
  const detail::TensorsByEnd ends(base);
  std::vector<detail::Wanted> all;
  all.reserve(lacking.size());
  for (const std::size_t i : lacking) all.push_back(detail::wanted_of(ends, *names[i], i, fits));
  std::map<std::string, std::vector<const detail::Wanted*>> groups;
  for (const detail::Wanted& wanted : all) {
    if (wanted.prefixes.empty()) continue;
    const std::string& name = *names[wanted.index];
    groups[name.substr(0, name.size() - wanted.end.size())].push_back(&wanted);
  }
  std::map<std::pair<std::string, std::string>, std::size_t> done;
  std::vector<std::pair<std::size_t, std::string>> settled;
  for (const auto& [from, group] : groups) {
    for (const auto& [wanted, to] : detail::settle_group(from, group, problems)) {
      settled.emplace_back(wanted->index, to + std::string(wanted->end));
      ++done[{from, to}];
    }
  }
  for (auto& [index, name] : settled) *names[index] = std::move(name);
  for (const auto& [rename, count] : done) {
    remarks.push_back(detail::in_words({rename.first, rename.second}, count));
  }
}

}  // namespace lorma::inline LORMA_ABI::model

#endif
