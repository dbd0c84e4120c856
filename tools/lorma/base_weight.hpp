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

/// What a LoRMA+ layer, with its factors as they are written, misses of the change D of its weight:
/// ||D - s B A W0||_F / ||D||_F (Pre), ||D - W0 s B A||_F / ||D||_F (Post); 0 where D = 0.
template <typename S>
double multiplier_residual(const lorma::Matrix<double>& change, const lorma::Matrix<S>& W0,
                           const lorma::LormaLayer& layer) {
  const double size = change.stableNorm();
  if (size == 0.0) return 0.0;
  const lorma::Matrix<double> weight = W0.template cast<double>();
  const lorma::Matrix<double> B = layer.scale() * layer.B.cast<double>();
  const lorma::Matrix<double> A = layer.A.cast<double>();
  const lorma::Matrix<double> reached = layer.side == "Pre"
                                            ? lorma::Matrix<double>(B * (A * weight))
                                            : lorma::Matrix<double>((weight * B) * A);
  return (change - reached).stableNorm() / size;
}

}  // namespace lorma_tool

#endif
