// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_PLUS_FACTORS_HPP
#define LORMA_CORE_PLUS_FACTORS_HPP

/// The low-rank pair as owned matrices in double: what analysis and conversions produce.

#include "lorma/core/factors.hpp"

namespace lorma::inline LORMA_ABI {

/// P = I + B A: the scale is baked in.
struct PlusFactors {
  Matrix<double> B;  ///< n x r
  Matrix<double> A;  ///< r x n
};

namespace detail {

/// scale X in double.
template <typename S>
Matrix<double> in_double(const MatrixView<const S>& view, double scale = 1.0) {
  Matrix<double> m(view.rows, view.cols);
  for (Index j = 0; j < view.cols; ++j) {
    for (Index i = 0; i < view.rows; ++i) m(i, j) = scale * static_cast<double>(view(i, j));
  }
  return m;
}

/// Throws NonFinite.
inline void check_finite_factors(std::string_view function, const PlusFactors& f) {
  if (f.B.allFinite() && f.A.allFinite()) return;
  throw NonFinite("lorma::" + std::string(function) +
                  ": expected finite factors, got NaN or infinity");
}

}  // namespace detail

/// The factors of an adapter with its scale in B. Throws ShapeError.
template <typename S>
PlusFactors plus_factors(const Factors<S>& f) {
  detail::check_factors("plus_factors", f);
  return {detail::in_double(f.B, static_cast<double>(f.scale)), detail::in_double(f.A)};
}

}  // namespace lorma::inline LORMA_ABI

#endif
