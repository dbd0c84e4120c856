// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_BASE_WEIGHT_HPP
#define LORMA_TOOLS_BASE_WEIGHT_HPP

/// One weight of a checkpoint as a matrix out x in, in the type that decides what rounding
/// explains.

#include <lorma/io/lorma_directory.hpp>
#include <string>
#include <utility>

#include "stored_weight.hpp"

namespace lorma_tool {

/// Calls f with the weight: Matrix<float> for F32, F16 and BF16, whose numbers it holds exactly, or
/// Matrix<double>. With a slice, only those outputs. Throws lorma::FormatError for other types,
/// other numbers of dimensions, and slices that do not fit.
template <typename F>
auto with_base_weight(const lorma::SafetensorsFile& file, const lorma::StoredTensor& tensor,
                      lorma::WeightLayout layout, const lorma::OutputSlice& outputs, F&& f) {
  const std::string name = lorma::detail::in_quotes(tensor.name) + ": ";
  const std::string got = "got " + std::string(lorma::dtype_name(tensor.dtype)) + ' ' +
                          lorma::detail::shape_text(tensor.shape);
  if (!has_arithmetic(tensor.dtype) || tensor.shape.size() != 2) {
    throw lorma::FormatError(name + "expected a matrix of F64, F32, F16 or BF16, " + got);
  }
  const auto call = [&](auto zero) {
    using S = decltype(zero);
    lorma::RowMajorMatrix<S> stored;
    load<S>(file, tensor, stored);
    lorma::Matrix<S> W = stored;
    stored.resize(0, 0);
    if (layout == lorma::WeightLayout::in_out) W.transposeInPlace();
    if (outputs.is_whole()) return f(std::as_const(W));
    if (outputs.first + outputs.count > W.rows()) {
      throw lorma::FormatError(name + "expected at least " +
                               std::to_string(outputs.first + outputs.count) + " outputs, " + got);
    }
    const lorma::Matrix<S> slice = W.middleRows(outputs.first, outputs.count);
    return f(slice);
  };
  return tensor.dtype == lorma::Dtype::F64 ? call(double{}) : call(float{});
}

/// The same weight in double.
inline lorma::Matrix<double> base_weight(const lorma::SafetensorsFile& file,
                                         const lorma::StoredTensor& tensor,
                                         lorma::WeightLayout layout,
                                         const lorma::OutputSlice& outputs) {
  return with_base_weight(file, tensor, layout, outputs, [](const auto& W) {
    return lorma::Matrix<double>(W.template cast<double>());
  });
}

}  // namespace lorma_tool

#endif
