// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_BASE_WEIGHT_HPP
#define LORMA_MODEL_BASE_WEIGHT_HPP

/// One weight of a checkpoint as a matrix (out x in), in the type by whose precision its rank is
/// judged.

#include <string>
#include <utility>

#include "lorma/model/lorma_directory.hpp"
#include "lorma/model/stored_weight.hpp"

namespace lorma::inline LORMA_ABI::model {

/// Calls f with the weight: Matrix<float> for F32, F16 and BF16, whose numbers it holds exactly,
/// Matrix<double> for F64. With a slice, only those outputs. Throws FormatError for other types,
/// other numbers of dimensions, and slices that do not fit.
template <typename F>
auto with_base_weight(const SafetensorsFile& file, const StoredTensor& tensor, WeightLayout layout,
                      const OutputSlice& outputs, F&& f) {
  require_matrix(tensor);
  return with_compute_type(tensor.dtype, [&](auto zero) {
    using S = decltype(zero);
    RowMajorMatrix<S> stored;
    load<S>(file, tensor, stored);
    Matrix<S> W = stored;
    stored.resize(0, 0);
    if (layout == WeightLayout::in_out) W.transposeInPlace();
    if (outputs.is_whole()) return f(std::as_const(W));
    if (outputs.first + outputs.count > W.rows()) {
      throw FormatError(lorma::detail::in_quotes(tensor.name) + ": expected at least " +
                        std::to_string(outputs.first + outputs.count) + " outputs, got " +
                        std::to_string(W.rows()));
    }
    const Matrix<S> slice = W.middleRows(outputs.first, outputs.count);
    return f(slice);
  });
}

/// The same weight in double.
inline Matrix<double> base_weight(const SafetensorsFile& file, const StoredTensor& tensor,
                                  WeightLayout layout, const OutputSlice& outputs) {
  return with_base_weight(file, tensor, layout, outputs,
                          [](const auto& W) { return Matrix<double>(W.template cast<double>()); });
}

}  // namespace lorma::inline LORMA_ABI::model

#endif
