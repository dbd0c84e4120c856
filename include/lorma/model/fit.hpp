// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_FIT_HPP
#define LORMA_MODEL_FIT_HPP

/// Changes and the tensors of a checkpoint matched: by name, by layout, by fingerprint.

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lorma/model/change.hpp"
#include "lorma/model/checkpoint.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/stored_weight.hpp"

namespace lorma::inline LORMA_ABI::model {

/// A change and where its weight lies.
struct Target {
  const Change* change = nullptr;
  const SafetensorsFile* file = nullptr;
  const StoredTensor* tensor = nullptr;
};

/// How the weights of a LoRA adapter are stored, of which PEFT's configuration tells little.
enum class LoraLayout { by_shape, out_in, in_out };
/// Their names on the command line.
LORMA_MODEL_FUNCTION std::map<std::string, LoraLayout> lora_layouts();

/// Finds the weight of every change. A LoRA adapter's modules may have a prefix more or less than
/// the base's tensors, the same for all, and a weight that is not square shows its layout by
/// itself; changes are settled accordingly. Throws FormatError with all that does not fit.
LORMA_MODEL_FUNCTION std::vector<Target> fit(const Checkpoint& base, std::vector<Change>& changes,
                                             LoraLayout layout, std::vector<std::string>& remarks);

/// Throws FormatError unless the tensor is the one that the change was made for.
LORMA_MODEL_FUNCTION void check_fingerprint(const Change& change, const StoredTensor& tensor,
                                            bool any_base);

#ifdef LORMA_MODEL_BODIES
namespace detail {

/// Why the change does not fit the tensor; empty when it does.
inline std::string misfit(const Change& change, const StoredTensor& tensor) {
  const std::string name = lorma::detail::in_quotes(change.tensor) + ": ";
  if (!has_arithmetic(tensor.dtype)) {
    return name + "expected type F64, F32, F16 or BF16, got " +
           std::string(dtype_name(tensor.dtype));
  }
  if (tensor.shape.size() != 2) {
    return name + "expected a 2-D tensor, got shape " + lorma::detail::shape_text(tensor.shape);
  }
  const bool turned = change.is_turned();
  const auto d = static_cast<Index>(tensor.shape[turned ? 1 : 0]);
  const auto k = static_cast<Index>(tensor.shape[turned ? 0 : 1]);
  const auto wrong = [&](const std::string& wanted) {
    return name + "expected a weight with " + wanted + ", got shape " +
           lorma::detail::shape_text(tensor.shape) + (turned ? " (in x out)" : "");
  };
  if (change.add) {
    if (change.add->B.rows() == d && change.add->A.cols() == k) return "";
    return wrong(std::to_string(change.add->B.rows()) + " outputs and " +
                 std::to_string(change.add->A.cols()) + " inputs");
  }
  for (const LormaLayer& layer : change.multiply) {
    const Index n = layer.B.rows();
    const OutputSlice& slice = layer.outputs;
    if (slice.first + slice.count > d) {
      return wrong(std::to_string(slice.first + slice.count) + " outputs or more");
    }
    if (layer.side == "Post" && n != k) return wrong(std::to_string(n) + " inputs");
    if (layer.side == "Pre" && slice.is_whole() && n != d) {
      return wrong(std::to_string(n) + " outputs");
    }
  }
  return "";
}

/// A prefix that every tensor of the changes has too much, or too little.
struct Prefix {
  std::string text;
  bool is_extra = false;

  std::string of(const std::string& tensor) const {
    if (!is_extra) return text + tensor;
    return tensor.starts_with(text) ? tensor.substr(text.size()) : tensor;
  }
};

/// The prefix with which the tensors of all changes are in the base, where there is exactly one.
inline std::optional<Prefix> find_prefix(const Checkpoint& base,
                                         const std::vector<Change>& changes) {
  const std::string& first = changes.front().tensor;
  std::vector<Prefix> candidates;
  for (std::size_t dot = first.find('.'); dot != first.npos; dot = first.find('.', dot + 1)) {
    candidates.push_back({first.substr(0, dot + 1), true});
  }
  for (const auto& file : base.files()) {
    for (const StoredTensor& tensor : file->tensors()) {
      const std::string& name = tensor.name;
      if (name.size() > first.size() + 1 && name.ends_with('.' + first)) {
        candidates.push_back({name.substr(0, name.size() - first.size()), false});
      }
    }
  }
  std::optional<Prefix> result;
  for (const Prefix& prefix : candidates) {
    const bool all = std::all_of(changes.begin(), changes.end(), [&](const Change& change) {
      return base.find(prefix.of(change.tensor)).file != nullptr;
    });
    if (!all) continue;
    if (result) return std::nullopt;
    result = prefix;
  }
  return result;
}

inline void settle_names(const Checkpoint& base, std::vector<Change>& changes,
                         std::vector<std::string>& remarks) {
  const bool known = std::all_of(changes.begin(), changes.end(), [&](const Change& change) {
    return !change.add || base.find(change.tensor).file != nullptr;
  });
  if (known) return;
  const std::optional<Prefix> prefix = find_prefix(base, changes);
  if (!prefix) return;  // what is missing will be said
  for (Change& change : changes) change.tensor = prefix->of(change.tensor);
  remarks.push_back("the adapter's modules have the prefix " +
                    lorma::detail::in_quotes(prefix->text) +
                    (prefix->is_extra ? ", which the base's tensors lack"
                                      : " in the base, which the adapter's names lack"));
}

/// Where a square weight leaves it open, the configuration's word counts, unless weights that are
/// not square, or the model's type, speak against it: PEFT sets the field for the last module
/// alone.
inline void settle_layouts(const Checkpoint& base, std::vector<Change>& changes, LoraLayout wanted,
                           std::vector<std::string>& problems) {
  std::set<WeightLayout> seen;
  std::vector<const Change*> square;
  for (Change& change : changes) {
    if (!change.add) continue;
    if (wanted != LoraLayout::by_shape) {
      change.layout = wanted == LoraLayout::in_out ? WeightLayout::in_out : WeightLayout::out_in;
      continue;
    }
    const Checkpoint::Found found = base.find(change.tensor);
    if (found.file == nullptr || found.tensor->shape.size() != 2) continue;
    const auto d = static_cast<std::uint64_t>(change.add->B.rows());
    const auto k = static_cast<std::uint64_t>(change.add->A.cols());
    if (d == k) {
      square.push_back(&change);
    } else if (found.tensor->shape[0] == d && found.tensor->shape[1] == k) {
      seen.insert(change.layout = WeightLayout::out_in);
    } else if (found.tensor->shape[0] == k && found.tensor->shape[1] == d) {
      seen.insert(change.layout = WeightLayout::in_out);
    }
  }
  static const std::set<std::string> turned_types = {"gpt2", "openai-gpt", "imagegpt",
                                                     "decision_transformer"};
  for (const Change* change : square) {
    const auto other = change->is_turned() ? WeightLayout::out_in : WeightLayout::in_out;
    const bool by_type =
        other == WeightLayout::in_out && seen.empty() && turned_types.contains(base.model_type());
    if (!seen.contains(other) && !by_type) continue;
    problems.push_back(
        lorma::detail::in_quotes(change->tensor) +
        " is square, and 'fan_in_fan_out' does not agree with the rest of the model: "
        "expected --layout out_in (PyTorch's Linear) or in_out (Conv1D)");
  }
}

}  // namespace detail

LORMA_MODEL_FUNCTION std::map<std::string, LoraLayout> lora_layouts() {
  return {{"by_shape", LoraLayout::by_shape},
          {"out_in", LoraLayout::out_in},
          {"in_out", LoraLayout::in_out}};
}

LORMA_MODEL_FUNCTION std::vector<Target> fit(const Checkpoint& base, std::vector<Change>& changes,
                                             LoraLayout layout, std::vector<std::string>& remarks) {
  detail::settle_names(base, changes, remarks);
  std::vector<std::string> problems;
  detail::settle_layouts(base, changes, layout, problems);
  std::vector<Target> targets;
  for (const Change& change : changes) {
    const Checkpoint::Found found = base.find(change.tensor);
    if (found.file == nullptr) {
      problems.push_back("the base has no tensor " + lorma::detail::in_quotes(change.tensor));
    } else if (std::string why = detail::misfit(change, *found.tensor); !why.empty()) {
      problems.push_back(std::move(why));
    } else {
      targets.push_back({&change, found.file, found.tensor});
    }
  }
  if (problems.empty()) return targets;
  throw FormatError("the adapter does not fit the base: " + lorma::detail::listed(problems));
}

LORMA_MODEL_FUNCTION void check_fingerprint(const Change& change, const StoredTensor& tensor,
                                            bool any_base) {
  if (any_base || change.fingerprint.empty()) return;
  const std::string here = fingerprint(tensor);
  if (here == change.fingerprint) return;
  throw FormatError(lorma::detail::in_quotes(change.tensor) +
                    ": the adapter was made for a weight " +
                    lorma::detail::in_quotes(change.fingerprint) + ", this one is " +
                    lorma::detail::in_quotes(here) + " (--any-base takes it all the same)");
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
