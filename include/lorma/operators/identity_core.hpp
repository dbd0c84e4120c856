// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_IDENTITY_CORE_HPP
#define LORMA_OPERATORS_IDENTITY_CORE_HPP

/// What the structure of P = I + s B A gives without an n x n matrix, in double.
///
/// With Q (n x m, m = min(n, 2r)) an orthonormal basis that spans the columns of B and A^T,
///   P = Q (I + C) Q^T + (I - Q Q^T),   C = (Q^T s B)(A Q)   (m x m),
/// so n - m singular values of P are 1 and the others are those of I + C. Its inverse is again
/// I plus a product of rank r with the same A: P^-1 = I - s (P^-1 B) A. (The Woodbury identity,
/// with the small system taken in an orthonormal basis: its condition is that of P itself, however
/// B and A are scaled against each other.) Cost O(n r^2).

#include <Eigen/LU>
#include <Eigen/QR>
#include <Eigen/SVD>
#include <algorithm>
#include <cmath>
#include <limits>

#include "lorma/core/factors.hpp"

namespace lorma::inline LORMA_ABI {

struct IdentityCore {
  Index dim = 0;                    ///< n
  Eigen::VectorXd singular_values;  ///< the m that may differ from 1, descending
  double largest = 1.0;             ///< sigma_1(P)
  double smallest = 1.0;            ///< sigma_n(P)
  double determinant_sign = 1.0;    ///< sign of det(P), 0 when singular
  double log_abs_determinant = 0.0;
  Matrix<double> inverse_B;  ///< P^-1 B (n x r); not meaningful when condition() is infinite

  /// 2-norm condition number of P.
  double condition() const {
    return smallest > 0.0 ? largest / smallest : std::numeric_limits<double>::infinity();
  }
};

/// Throws ShapeError for factors that do not fit together. Real is a parameter so that only who
/// calls this compiles its decompositions.
template <typename S, typename Real = double>
IdentityCore identity_core(const Factors<S>& f) {
  detail::check_factors("identity_core", f);
  const Index n = f.dim();
  const Index r = f.rank();
  const Index m = std::min(n, 2 * r);
  Matrix<Real> both(n, 2 * r);  // [B, A^T]
  for (Index q = 0; q < r; ++q) {
    for (Index i = 0; i < n; ++i) {
      both(i, q) = static_cast<Real>(f.B(i, q));
      both(i, r + q) = static_cast<Real>(f.A(q, i));
    }
  }
  const Eigen::HouseholderQR<Matrix<Real>> qr(both);
  const Matrix<Real> Q = qr.householderQ() * Matrix<Real>::Identity(n, m);
  const Matrix<Real> QtB = Q.transpose() * both.leftCols(r);
  const Matrix<Real> AQ = both.rightCols(r).transpose() * Q;
  const Real s = static_cast<Real>(f.scale);
  const Matrix<Real> core = Matrix<Real>::Identity(m, m) + s * QtB * AQ;

  IdentityCore result;
  result.dim = n;
  const Eigen::JacobiSVD<Matrix<Real>> svd(core, Eigen::ComputeFullU | Eigen::ComputeFullV);
  result.singular_values = svd.singularValues();
  result.largest = result.singular_values(0);
  result.smallest = result.singular_values(m - 1);
  if (n > m) {
    result.largest = std::max(result.largest, 1.0);
    result.smallest = std::min(result.smallest, 1.0);
  }
  const Eigen::PartialPivLU<Matrix<Real>> lu(core);
  result.determinant_sign = static_cast<double>(lu.permutationP().determinant());
  for (Index i = 0; i < m; ++i) {
    const double pivot = lu.matrixLU()(i, i);
    result.determinant_sign *= pivot > 0.0 ? 1.0 : (pivot < 0.0 ? -1.0 : 0.0);
    result.log_abs_determinant += std::log(std::abs(pivot));
  }
  const Matrix<Real> inner = svd.matrixV() * (result.singular_values.cwiseInverse().asDiagonal() *
                                              (svd.matrixU().transpose() * QtB).eval());
  result.inverse_B = Q * inner;
  return result;
}

}  // namespace lorma::inline LORMA_ABI

#endif
