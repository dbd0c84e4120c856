// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_CHANGES_HPP
#define LORMA_TOOLS_CHANGES_HPP

/// What an adapter on disk, of either kind, does to each tensor of its base.

#include <filesystem>
#include <lorma/io/lorma_directory.hpp>
#include <lorma/io/peft_lora.hpp>
#include <optional>
#include <string>
#include <vector>

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

/// One change a tensor. Throws lorma::Error.
std::vector<Change> read_changes(const std::filesystem::path& directory);

/// Why the change does not fit the tensor; empty when it does.
std::string misfit(const Change& change, const lorma::StoredTensor& tensor);

/// Throws lorma::FormatError unless the tensor is the one that the change was made for.
void check_fingerprint(const Change& change, const lorma::StoredTensor& tensor, bool any_base);

/// How a change is applied.
struct Application {
  bool undo = false;
  double strength = 1.0;  ///< t of (1 - t) W0 + t W
};

/// Throws lorma::Error where the change cannot be undone at that strength.
void check_application(const Change& change, const Application& how);

/// W, as stored, becomes what the change makes of it. S: float or double. Throws lorma::Error.
template <typename S>
void apply(const Change& change, const Application& how, lorma::RowMajorMatrix<S>& W);

}  // namespace lorma_tool

#endif
