// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_CHANGES_HPP
#define LORMA_TOOLS_CHANGES_HPP

/// What an adapter on disk, of either kind, does to each tensor of its base.

#include <filesystem>
#include <lorma/io/lorma_directory.hpp>
#include <lorma/io/peft_lora.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint.hpp"

namespace lorma_tool {

/// What is to be done to one tensor: multipliers of the whole or of slices, or an additive change.
struct Change {
  std::string tensor;
  lorma::WeightLayout layout = lorma::WeightLayout::out_in;
  std::string fingerprint;  ///< of the base's tensor; empty: not known
  std::vector<lorma::LormaLayer> multiply;
  std::optional<lorma::LoraLayer> add;

  bool is_turned() const { return layout == lorma::WeightLayout::in_out; }
  /// "Identity, Pre, rank 8"
  std::string text() const;
};

/// Whether a directory holds an adapter of ours; throws lorma::FormatError where it has no
/// peft_type.
bool is_lorma_adapter(const std::filesystem::path& directory);

/// One change a tensor. What a person should know goes to `remarks`. Throws lorma::Error.
std::vector<Change> read_changes(const std::filesystem::path& directory,
                                 std::vector<std::string>& remarks);

/// A change and where its weight lies.
struct Target {
  const Change* change = nullptr;
  const lorma::SafetensorsFile* file = nullptr;
  const lorma::StoredTensor* tensor = nullptr;
};

/// How the weights of a LoRA adapter are stored, of which PEFT's configuration tells little.
enum class LoraLayout { by_shape, out_in, in_out };
/// Their names on the command line.
std::map<std::string, LoraLayout> lora_layouts();

/// Finds the weight of every change. A LoRA adapter's modules may have a prefix more or less than
/// the base's tensors, the same for all, and a weight that is not square shows its layout by
/// itself; changes are settled accordingly. Throws lorma::FormatError with all that does not fit.
std::vector<Target> fit(const Checkpoint& base, std::vector<Change>& changes, LoraLayout layout,
                        std::vector<std::string>& remarks);

/// Throws lorma::FormatError unless the tensor is the one that the change was made for.
void check_fingerprint(const Change& change, const lorma::StoredTensor& tensor, bool any_base);

/// How a change is applied.
struct Application {
  bool undo = false;
  double strength = 1.0;  ///< t of (1 - t) W0 + t W
  double epsilon = 0.0;   ///< of the type that the weight is stored in
};

/// Throws lorma::Error where the change cannot be undone at that strength.
void check_application(const Change& change, const Application& how);

/// Whether P = I + M: the inflations that compose, change their rank and take a strength.
bool is_plus(const lorma::LormaLayer& layer);

/// The weight, or the slice of it, that one layer multiplies: W (out x in) becomes W1. S: float or
/// double. Throws as apply does.
template <typename S>
void multiply(const lorma::LormaLayer& layer, const Application& how,
              const lorma::MatrixView<S>& W);

/// W, as stored, becomes what the change makes of it. S: float or double. Throws lorma::Error; when
/// it is undone, RankDeficient where no digit of the old weight would come back.
template <typename S>
void apply(const Change& change, const Application& how, lorma::RowMajorMatrix<S>& W);

}  // namespace lorma_tool

#endif
