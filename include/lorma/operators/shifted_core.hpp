// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_SHIFTED_CORE_HPP
#define LORMA_OPERATORS_SHIFTED_CORE_HPP

/// What the structure of P = c I + s B A gives without an n x n matrix, in double.
///
/// With Q (n x m, m = min(n, 2r)) an orthonormal basis that spans the columns of B and A^T,
///   P = Q (c I + C) Q^T + c (I - Q Q^T),   C = (Q^T s B)(A Q)   (m x m),
/// so n - m singular values of P are |c| and the others are those of c I + C, and for c != 0
///   P^-1 = Q (c I + C)^-1 Q^T + (I - Q Q^T) / c.
/// (The Woodbury identity with the small system taken in an orthonormal basis: however B and A are
/// scaled against each other or cancel, no factor of P^-1 is larger than P^-1 and 1 / c.) Columns
/// of [B, A^T] are scaled by powers of two first. Cost O(n r^2). Source: docs/mathematics.md,
/// equations (14) and (15).

#include <limits>

#include "lorma/core/decompositions.hpp"
#include "lorma/core/plus_factors.hpp"

namespace lorma::inline LORMA_ABI {

struct ShiftedCore {
  Index dim = 0;       ///< n
  double shift = 1.0;  ///< c
  /// The m singular values that may differ from |c|, descending; NaN if the product overflowed.
  Eigen::VectorXd singular_values;
  double largest = 1.0;   ///< sigma_1(P)
  double smallest = 1.0;  ///< sigma_n(P)
  /// |c| + sum over q of |s| |b_q| |a_q|: the size of the terms that sum to P.
  double terms = 1.0;
  Determinant determinant;  ///< of P
  Matrix<double> basis;     ///< Q (n x m)
  Matrix<double> inverse;   ///< (c I + C)^-1 (m x m); not meaningful when condition() is infinite

  /// 2-norm condition number of P.
  double condition() const {
    return smallest > 0.0 ? largest / smallest : std::numeric_limits<double>::infinity();
  }
};

namespace detail {

/// Scales every column of M to a largest entry in [1/2, 1); returns the exponents taken out.
template <typename Real>
Eigen::VectorXi scale_columns(Matrix<Real>& M) {
  Eigen::VectorXi exponents = Eigen::VectorXi::Zero(M.cols());
  for (Index j = 0; j < M.cols(); ++j) {
    std::frexp(M.col(j).cwiseAbs().maxCoeff(), &exponents(j));
    const int half = exponents(j) / 2;  // 2^1074 is no number
    M.col(j) *= std::ldexp(Real(1), -half);
    M.col(j) *= std::ldexp(Real(1), half - exponents(j));
  }
  return exponents;
}

/// L^T R, summed pairwise: its error grows with log n, that of a product may grow with n.
template <typename Real>
Matrix<Real> inner_products(const Matrix<Real>& L, const Matrix<Real>& R, Index first,
                            Index count) {
  if (count <= 32) {
    return L.middleRows(first, count).transpose().lazyProduct(R.middleRows(first, count));
  }
  const Index half = count / 2;
  return inner_products(L, R, first, half) + inner_products(L, R, first + half, count - half);
}

template <typename Real>
ShiftedCore shifted_core(const PlusFactors& f, Real c) {
  const Index n = f.B.rows();
  const Index r = f.B.cols();
  Matrix<Real> both(n, 2 * r);
  both << f.B, f.A.transpose();
  const Eigen::VectorXi exponents = scale_columns(both);
  Matrix<Real> Q = orthonormal(both);
  const Index m = Q.cols();
  // One step towards the nearest orthonormal matrix removes the error due to the columns' length.
  Q *= 1.5 * Matrix<Real>::Identity(m, m) - 0.5 * inner_products(Q, Q, 0, n);
  const Matrix<Real> inside = inner_products(Q, both, 0, n);
  Vector<Real> sizes(r);
  for (Index q = 0; q < r; ++q) sizes(q) = std::ldexp(Real(1), exponents(q) + exponents(r + q));
  Matrix<Real> core = inside.leftCols(r) * sizes.asDiagonal() * inside.rightCols(r).transpose();
  core.diagonal().array() += c;

  ShiftedCore result;
  result.dim = n;
  result.shift = c;
  result.terms =
      std::abs(c) + (both.leftCols(r).colwise().norm().transpose().array() *
                     both.rightCols(r).colwise().norm().transpose().array() * sizes.array())
                        .sum();
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
  result.basis = Q;
  result.inverse = svd.V * svd.sigma.cwiseInverse().asDiagonal() * svd.U.transpose();
  return result;
}

/// P^-1 = left right + I / c, or `left` alone where `right` is empty.
template <typename Real>
struct InverseFactors {
  Matrix<Real> left;
  Matrix<Real> right;
};

/// From Q (n x m), (c I + C)^-1 and c of a ShiftedCore. Cost 2 n m^2; for a square Q 4 n^3.
template <typename Real>
InverseFactors<Real> inverse_factors(const Matrix<Real>& Q, const Matrix<Real>& inverse, Real c) {
  if (Q.cols() == Q.rows()) return {Q * inverse * Q.transpose(), {}};
  const Index m = Q.cols();
  return {Q * (inverse - Matrix<Real>::Identity(m, m) / c), Q.transpose()};
}

#ifdef LORMA_COMPILED
extern template ShiftedCore shifted_core(const PlusFactors&, double);
extern template InverseFactors<double> inverse_factors(const Matrix<double>&, const Matrix<double>&,
                                                       double);
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
