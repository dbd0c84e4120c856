// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_SHIFTED_CORE_HPP
#define LORMA_OPERATORS_SHIFTED_CORE_HPP

/// What the structure of P = c I + s B A gives without an n x n matrix, in double.
///
/// With Q (n x m, m = min(n, 2r)) an orthonormal basis that spans the columns of B and A^T,
///   P = Q (c I + C) Q^T + c (I - Q Q^T),   C = (Q^T s B)(A Q)   (m x m),
/// so n - m singular values of P are |c| and the others are those of c I + C. For c != 0 its
/// inverse has the same structure and the same A: P^-1 = (I - s (P^-1 B) A) / c. (The Woodbury
/// identity, with the small system taken in an orthonormal basis: its condition is that of P
/// itself, however B and A are scaled against each other.) Cost O(n r^2). Source:
/// docs/mathematics.md, equations (14) and (15).

#include <limits>

#include "lorma/core/plus_factors.hpp"
#include "lorma/operators/decompositions.hpp"

namespace lorma::inline LORMA_ABI {

struct ShiftedCore {
  Index dim = 0;       ///< n
  double shift = 1.0;  ///< c
  /// The m that may differ from |c|, descending; NaN where the product overflowed.
  Eigen::VectorXd singular_values;
  double largest = 1.0;      ///< sigma_1(P)
  double smallest = 1.0;     ///< sigma_n(P)
  Determinant determinant;   ///< of P
  Matrix<double> inverse_B;  ///< P^-1 s B (n x r); not meaningful when condition() is infinite

  /// 2-norm condition number of P.
  double condition() const {
    return smallest > 0.0 ? largest / smallest : std::numeric_limits<double>::infinity();
  }
};

namespace detail {

template <typename Real>
ShiftedCore shifted_core(const PlusFactors& f, Real c) {
  const Index n = f.B.rows();
  const Index r = f.B.cols();
  Matrix<Real> both(n, 2 * r);
  both << f.B, f.A.transpose();
  const Matrix<Real> Q = orthonormal(both);
  const Index m = Q.cols();
  const Matrix<Real> QtB = Q.transpose() * f.B;
  Matrix<Real> core = QtB * (f.A * Q);
  core.diagonal().array() += c;

  ShiftedCore result;
  result.dim = n;
  result.shift = c;
  if (!core.allFinite()) {
    constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
    result.singular_values.setConstant(m, unknown);
    result.largest = result.smallest = result.determinant.log_abs = unknown;
    return result;
  }
  const Svd<Real> svd = small_svd(core);
  result.singular_values = svd.sigma;
  result.determinant = lu(core).determinant();
  if (c == Real(0) && r < n) {  // M alone, of rank r: what follows is rounding
    result.singular_values.tail(m - std::min(m, r)).setZero();
    result.determinant = {0.0, -std::numeric_limits<double>::infinity()};
  } else if (n > m) {
    if (c < Real(0) && (n - m) % 2 != 0) result.determinant.sign = -result.determinant.sign;
    result.determinant.log_abs += static_cast<double>(n - m) * std::log(std::abs(c));
  }
  result.largest = result.singular_values(0);
  result.smallest = result.singular_values(m - 1);
  if (n > m) {
    result.largest = std::max(result.largest, std::abs(c));
    result.smallest = std::min(result.smallest, std::abs(c));
  }
  const Matrix<Real> inner =
      svd.V * (svd.sigma.cwiseInverse().asDiagonal() * (svd.U.transpose() * QtB).eval());
  result.inverse_B = Q * inner;
  return result;
}

#ifdef LORMA_COMPILED
extern template ShiftedCore shifted_core(const PlusFactors&, double);
#endif

}  // namespace detail

/// The core of c I + s B A. Throws ShapeError for factors that do not fit together.
template <typename S>
ShiftedCore shifted_core(const Factors<S>& f, double c) {
  detail::check_factors("shifted_core", f);
  return detail::shifted_core(plus_factors(f), c);
}

}  // namespace lorma::inline LORMA_ABI

#endif
