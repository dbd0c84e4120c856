// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_MISFIT_HPP
#define LORMA_MODEL_MISFIT_HPP

/// Whether a change fits a tensor, by type and shape, and why not.

#include <optional>
#include <string>

#include "lorma/model/change.hpp"
#include "lorma/model/stored_weight.hpp"

namespace lorma::inline LORMA_ABI::model::detail {

/// How many outputs and inputs a change asks of its weight; nothing where any number will do.
struct WeightSize {
  std::optional<Index> outputs, inputs;
};

inline WeightSize size_asked(const Change& change) {
  WeightSize size;
  if (change.add) {
    size.outputs = change.add->B.rows();
    size.inputs = change.add->A.cols();
    return size;
  }
  for (const LormaLayer& layer : change.multiply) {
    if (layer.side == "Post") size.inputs = layer.B.rows();
    if (layer.side == "Pre" && layer.outputs.is_whole()) size.outputs = layer.B.rows();
  }
  return size;
}

/// Whether a weight stored so has the size that is asked of it.
inline bool has_size(const MatrixStack& stack, WeightLayout layout, const WeightSize& size) {
  const bool turned = layout == WeightLayout::in_out;
  return size.outputs.value_or(turned ? stack.cols : stack.rows) ==
             (turned ? stack.cols : stack.rows) &&
         size.inputs.value_or(turned ? stack.rows : stack.cols) ==
             (turned ? stack.rows : stack.cols);
}

/// Why the change does not fit the tensor; empty when it does.
inline std::string misfit(const Change& change, const StoredTensor& tensor) {
  if (change.multiply.empty() && !change.add) return "";
  const std::string name = lorma::detail::in_quotes(change.tensor) + ": ";
  if (!has_arithmetic(tensor.dtype)) {
    return name + "expected type F64, F32, F16 or BF16, got " +
           std::string(dtype_name(tensor.dtype));
  }
  const std::optional<MatrixStack> stack = matrices_of(change.form, tensor.shape);
  if (!stack) {
    return name + "expected " + lorma::detail::in_words(change.form) + ", got shape " +
           lorma::detail::shape_text(tensor.shape);
  }
  const bool turned = change.is_turned();
  const auto wrong = [&](const std::string& wanted) {
    return name + "expected a weight with " + wanted + ", got shape " +
           lorma::detail::shape_text(tensor.shape) + (turned ? " (in x out)" : "");
  };
  if (change.add) {
    const LoraLayer& add = *change.add;
    if (add.rank > 0 && add.A.rows() != stack->count * add.rank) {
      return wrong(std::to_string(add.A.rows() / add.rank) + " experts");
    }
    if (!has_size(*stack, change.layout, size_asked(change))) {
      return wrong(std::to_string(add.B.rows()) + " outputs and " + std::to_string(add.A.cols()) +
                   " inputs");
    }
  }
  const Index d = turned ? stack->cols : stack->rows;
  const Index k = turned ? stack->rows : stack->cols;
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

}  // namespace lorma::inline LORMA_ABI::model::detail

#endif
