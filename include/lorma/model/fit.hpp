// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_FIT_HPP
#define LORMA_MODEL_FIT_HPP

/// Changes and the tensors of a checkpoint matched: by name, by layout, by fingerprint.

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/model/change.hpp"
#include "lorma/model/checkpoint.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/match_names.hpp"
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

/// What the caller knows of names and layouts.
struct FitOptions {
  LoraLayout layout = LoraLayout::by_shape;
  std::vector<Rename> renames;  ///< of the adapter's tensors; the first that changes a name counts
};

/// Finds the weight of every change. Names may differ from the base's in what stands before them
/// (match_names.hpp), and a LoRA adapter's weight that is not square shows its layout by itself;
/// changes are settled accordingly. Throws FormatError with all that does not fit.
LORMA_MODEL_FUNCTION std::vector<Target> fit(const Checkpoint& base, std::vector<Change>& changes,
                                             const FitOptions& options,
                                             std::vector<std::string>& remarks);

/// Throws FormatError unless the tensor is the one that the change was made for; to undo it, where
/// it is: a weight that the change is not in.
LORMA_MODEL_FUNCTION void check_fingerprint(const Change& change, const StoredTensor& tensor,
                                            bool undo = false);

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

/// The base's names in place of the adapter's.
inline void settle_names(const Checkpoint& base, std::vector<Change>& changes,
                         const std::vector<Rename>& renames, std::vector<std::string>& remarks,
                         std::vector<std::string>& problems) {
  std::vector<std::string*> names;
  for (Change& change : changes) {
    for (const Rename& rename : renames) {
      std::string name = rename.of(change.tensor);
      if (name == change.tensor) continue;
      change.tensor = std::move(name);
      break;
    }
    names.push_back(&change.tensor);
  }
  const auto fits = [&](std::size_t i, const StoredTensor& tensor) {
    if (misfit(changes[i], tensor).empty()) return true;
    if (!changes[i].add) return false;
    Change turned = changes[i];  // whose layout its shape will show
    turned.layout = turned.is_turned() ? WeightLayout::out_in : WeightLayout::in_out;
    return misfit(turned, tensor).empty();
  };
  match_names(base, std::move(names), fits, remarks, problems);
  std::map<std::string_view, std::size_t> taken;
  for (const Change& change : changes) ++taken[change.tensor];
  for (const auto& [name, count] : taken) {
    if (count > 1) {
      problems.push_back("several weights of the adapter are " + lorma::detail::in_quotes(name) +
                         " in the base");
    }
  }
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

/// Why there is no tensor of a name.
inline std::string absent(const Checkpoint& base, const std::string& name) {
  std::string text = "the base has no tensor " + lorma::detail::in_quotes(name);
  if (is_head(name) && base.ties_heads()) {
    text +=
        ", as it uses the embedding there (tie_word_embeddings): save it with a head of its own";
  }
  return text;
}

}  // namespace detail

LORMA_MODEL_FUNCTION std::map<std::string, LoraLayout> lora_layouts() {
  return {{"by_shape", LoraLayout::by_shape},
          {"out_in", LoraLayout::out_in},
          {"in_out", LoraLayout::in_out}};
}

LORMA_MODEL_FUNCTION std::vector<Target> fit(const Checkpoint& base, std::vector<Change>& changes,
                                             const FitOptions& options,
                                             std::vector<std::string>& remarks) {
  std::vector<std::string> problems;
  detail::settle_names(base, changes, options.renames, remarks, problems);
  detail::settle_layouts(base, changes, options.layout, problems);
  std::vector<Target> targets;
  for (const Change& change : changes) {
    const Checkpoint::Found found = base.find(change.tensor);
    if (found.file == nullptr) {
      problems.push_back(detail::absent(base, change.tensor));
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
                                            bool undo) {
  if (change.fingerprint.empty()) return;
  const std::string here = fingerprint(tensor);
  const std::string name = lorma::detail::in_quotes(change.tensor);
  if (undo && here == change.fingerprint) {
    throw FormatError(
        name +
        ": expected a weight that the adapter is merged into, got the one that it was "
        "made for, in which there is nothing to take out (--any-base takes it all the "
        "same)");
  }
  if (undo || here == change.fingerprint) return;
  throw FormatError(name + ": the adapter was made for a weight " +
                    lorma::detail::in_quotes(change.fingerprint) + ", this one is " +
                    lorma::detail::in_quotes(here) + " (--any-base takes it all the same)");
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
