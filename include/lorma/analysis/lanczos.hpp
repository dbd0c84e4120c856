// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_LANCZOS_HPP
#define LORMA_ANALYSIS_LANCZOS_HPP

/// The first eigenvalue of a positive semidefinite operator and its vector, by Lanczos iteration
/// with full orthogonalization (Golub and Van Loan, Matrix Computations, section 10.1). What it
/// finds is at most the largest eigenvalue; that it is that one, nothing here proves.

#include <algorithm>
#include <cmath>

#include "lorma/core/decompositions.hpp"
#include "lorma/core/types.hpp"

namespace lorma::inline LORMA_ABI::analysis::detail {

template <typename Real>
struct RitzPair {
  double value = 0.0;
  Vector<Real> vector;       ///< of norm 1
  bool has_settled = false;  ///< the value changed by no more than asked for
};

/// Until the value settles to `tolerance`, `most` steps or p at most; apply(v) is the operator, p x
/// p, of any size that its products bear. Not settled where one of them is not finite. Cost: one
/// product a step, p numbers, and 8 p flops for each step before it.
template <typename Real, typename Apply>
RitzPair<Real> first_ritz_pair(Index p, const Apply& apply, double tolerance, Index most) {
  most = std::min(most, p);
  Matrix<Real> basis(p, most + 1);
  // Multiples of the golden ratio modulo 1: a start that no eigenvector of interest is orthogonal
  // to.
  for (Index i = 0; i < p; ++i) {
    const double multiple = 0.61803398874989485 * static_cast<double>(i + 1);
    basis(i, 0) = static_cast<Real>(multiple - std::floor(multiple) - 0.5);
  }
  basis.col(0).normalize();
  Vector<Real> diagonal(most);
  Vector<Real> beside(most);
  double before = 0.0;
  Index next = 4;  // a look costs as much as some steps
  for (Index k = 0;; ++k) {
    Vector<Real> w = apply(basis.col(k));
    diagonal(k) = basis.col(k).dot(w);
    for (int again = 0; again < 2; ++again) {
      const Vector<Real> overlap = basis.leftCols(k + 1).transpose() * w;
      w.noalias() -= basis.leftCols(k + 1) * overlap;
    }
    beside(k) = w.norm();
    constexpr double nothing = 1e-15;
    const bool is_whole = k + 1 == p || !(beside(k) > nothing * std::abs(diagonal(0)));
    if (is_whole || k + 1 == most || k + 1 == next) {
      const Real largest =
          std::max(diagonal.head(k + 1).cwiseAbs().maxCoeff(), beside.head(k).norm());
      const Real size = largest > Real(0) ? largest : Real(1);
      const auto ritz = lorma::detail::eigen_of_tridiagonal<Real>(diagonal.head(k + 1) / size,
                                                                  beside.head(k) / size);
      const double value = size * ritz.values(k);
      const bool has_settled =
          std::isfinite(value) && (is_whole || std::abs(value - before) <= tolerance * value);
      if (has_settled || is_whole || k + 1 == most) {
        return {value, basis.leftCols(k + 1) * ritz.vectors.col(k), has_settled};
      }
      before = value;
      next = k + 1 + std::max<Index>(4, (k + 1) / 8);
    }
    basis.col(k + 1) = w / beside(k);
  }
}

}  // namespace lorma::inline LORMA_ABI::analysis::detail

#endif
