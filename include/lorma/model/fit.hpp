// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_FIT_HPP
#define LORMA_MODEL_FIT_HPP

/// Changes and the tensors of a checkpoint matched: by name, by layout, by fingerprint.

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/model/change.hpp"
#include "lorma/model/checkpoint.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/settle.hpp"
#include "lorma/model/stored_weight.hpp"

namespace lorma::inline LORMA_ABI::model {

/// A change and where its weight lies; no file and no tensor: the base does not have it, and it is
/// added.
struct Target {
  const Change* change = nullptr;
  const SafetensorsFile* file = nullptr;
  const StoredTensor* tensor = nullptr;
  Dtype type = Dtype::F32;  ///< in which it is written

  /// What the tensor is before it is changed: the base's, or the adapter's in its place.
  const SafetensorsFile& start_file() const { return change->saved ? *change->file : *file; }
  const StoredTensor& start() const { return change->saved ? *change->saved->tensor : *tensor; }
};

/// Finds the weight of every change. Names may differ from the base's in what stands before them
/// (match_names.hpp), and a LoRA adapter's weight that is not square shows its layout by itself;
/// changes are settled accordingly. A whole tensor equal to the base's has no target, nor has an
/// optional change whose tensor the base lacks. Targets point into `base` and `changes`. Throws
/// FormatError with all that does not fit.
LORMA_MODEL_FUNCTION std::vector<Target> fit(const Checkpoint& base, std::vector<Change>& changes,
                                             const FitOptions& options,
                                             std::vector<std::string>& remarks);

/// Throws FormatError unless the tensor is the one that the change was made for; to undo, if it is
/// that one, as the change is then not in it. Does nothing where no fingerprint is known. Cost: one
/// reading of the tensor.
LORMA_MODEL_FUNCTION void check_fingerprint(const Change& change, const StoredTensor& tensor,
                                            bool undo = false);

#ifdef LORMA_MODEL_BODIES
namespace detail {

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

LORMA_MODEL_FUNCTION std::vector<Target> fit(const Checkpoint& base, std::vector<Change>& changes,
                                             const FitOptions& options,
                                             std::vector<std::string>& remarks) {
  std::vector<std::string> problems;
  detail::settle_flattened(base, changes, remarks, problems);
  detail::settle_names(base, changes, options.renames, remarks, problems);
  detail::settle_parameters(base, changes, problems);
  detail::settle_layouts(base, changes, options.layout, problems);
  std::map<std::string_view, std::size_t> taken;
  for (const Change& change : changes) {
    if (++taken[change.tensor] != 2) continue;
    problems.push_back("several weights of the adapter are " +
                       lorma::detail::in_quotes(change.tensor) + " in the base");
  }
  std::vector<Target> targets;
  for (Change& change : changes) {
    const Checkpoint::Found found = base.find(change.tensor);
    if (found.file == nullptr && (!change.saved || !change.saved->is_named)) {
      if (change.is_optional) continue;
      problems.push_back(change.saved ? "unexpected tensor " +
                                            lorma::detail::in_quotes(change.saved->tensor->name) +
                                            ", which neither the base nor 'modules_to_save' names"
                                      : detail::absent(base, change.tensor));
      continue;
    }
    Target target{&change, found.file, found.tensor};
    target.type = found.file != nullptr ? found.tensor->dtype : base.main_type();
    if (!has_arithmetic(target.type) || !has_arithmetic(target.start().dtype)) {
      target.type = target.start().dtype;
    }
    detail::settle_channels(target.start(), change);
    if (std::string why = detail::misfit(change, target.start()); !why.empty()) {
      problems.push_back(std::move(why));
      continue;
    }
    if (change.is_whole() && found.file != nullptr && same_bytes(target.start(), *found.tensor))
      continue;
    targets.push_back(target);
  }
  if (problems.empty()) return targets;
  const std::string& method = base.quantization().method();
  std::string why = "the adapter does not fit the base";
  if (!method.empty() && !base.is_dequantized()) {
    why += ", which is quantized (" + lorma::detail::escaped(method) +
           "): expected the model that it was made from" +
           (base.quantization().is_readable() ? ", or --dequantize" : "");
  }
  throw FormatError(why + ": " + lorma::detail::listed(problems));
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
