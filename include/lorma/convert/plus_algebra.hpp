// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CONVERT_PLUS_ALGEBRA_HPP
#define LORMA_CONVERT_PLUS_ALGEBRA_HPP

/// What LoRMA+ adapters are closed under: composition, strength, change of rank.
///
///   PlusFactors both = compose(second, first);     // one adapter for first, then second
///   PlusFactors half = with_strength(first, 0.5);  // (1 - t) I + t P
///   ChangeOfRank small = with_rank(both, 8);       // small.factors: the nearest P of that rank
///
/// (I + s2 B2 A2)(I + s1 B1 A1) = I + [s1 B1, s2 B2] [A1; A2 + s1 (A2 B1) A1]. Source:
/// docs/mathematics.md, sections 5 and 7.

#include <Eigen/QR>
#include <Eigen/SVD>

#include "lorma/core/factors.hpp"

namespace lorma::inline LORMA_ABI {

/// P = I + B A: the scale is baked in.
struct PlusFactors {
  Matrix<double> B;  ///< n x r
  Matrix<double> A;  ///< r x n
};

/// The factors of an adapter with its scale in B.
template <typename S>
PlusFactors plus_factors(const Factors<S>& f) {
  detail::check_factors("plus_factors", f);
  PlusFactors result{Matrix<double>(f.dim(), f.rank()), Matrix<double>(f.rank(), f.dim())};
  for (Index q = 0; q < f.rank(); ++q) {
    for (Index i = 0; i < f.dim(); ++i) {
      result.B(i, q) = static_cast<double>(f.scale) * static_cast<double>(f.B(i, q));
      result.A(q, i) = static_cast<double>(f.A(q, i));
    }
  }
  return result;
}

/// P2 P1, of rank r1 + r2. For side Pre the weight becomes P2 (P1 W0): `second` is applied after
/// `first`; for Post pass them the other way round, W0 P1 P2 = W0 compose(P1, P2). Cost 4 n r1 r2.
/// Throws ShapeError unless both have one n.
inline PlusFactors compose(const PlusFactors& second, const PlusFactors& first) {
  const Index n = first.B.rows();
  detail::check_shape("compose", "B of the second adapter", second.B.rows(), second.B.cols(), n,
                      second.B.cols());
  const Index r1 = first.B.cols();
  const Index r2 = second.B.cols();
  PlusFactors result{Matrix<double>(n, r1 + r2), Matrix<double>(r1 + r2, n)};
  result.B << first.B, second.B;
  result.A.topRows(r1) = first.A;
  const Matrix<double> inner = second.A * first.B;
  result.A.bottomRows(r2) = second.A + inner * first.A;
  return result;
}

/// (1 - t) I + t P; t = 0 is the identity exactly.
inline PlusFactors with_strength(const PlusFactors& f, double t) {
  return {t * f.B, f.A};
}

/// Singular values of P - I = B A, descending, at most r of them. Cost O(n r^2).
struct ChangeOfRank {
  PlusFactors factors;       ///< of the rank asked for
  double dropped = 0.0;      ///< ||P' - P||_F / ||P - I||_F
  Eigen::VectorXd spectrum;  ///< singular values of P - I
};

/// The P' = I + B' A' of rank at most `rank` that is nearest to P in the Frobenius norm; columns
/// beyond the rank of P - I are zero. Cost O(n r^2). Throws ShapeError for rank < 1, NonFinite.
inline ChangeOfRank with_rank(const PlusFactors& f, Index rank) {
  if (rank < 1) {
    throw ShapeError("lorma::with_rank: expected a rank >= 1, got " + std::to_string(rank));
  }
  const Index n = f.B.rows();
  const Index r = f.B.cols();
  const Index m = std::min(n, r);
  if (!f.B.allFinite() || !f.A.allFinite()) {
    throw NonFinite("lorma::with_rank: expected finite factors, got NaN or infinity");
  }
  ChangeOfRank result;
  result.factors.B = Matrix<double>::Zero(n, rank);
  result.factors.A = Matrix<double>::Zero(rank, n);
  result.spectrum = Eigen::VectorXd::Zero(m);
  const double size_B = m > 0 ? f.B.cwiseAbs().maxCoeff() : 0.0;
  const double size_A = m > 0 ? f.A.cwiseAbs().maxCoeff() : 0.0;
  if (size_B == 0.0 || size_A == 0.0) return result;
  // Of size 1, so that no square overflows or vanishes.
  const Matrix<double> B = f.B / size_B;
  const Matrix<double> A = f.A / size_A;
  const Eigen::HouseholderQR<Matrix<double>> qr_B(B);
  const Eigen::HouseholderQR<Matrix<double>> qr_A(A.transpose());
  const Matrix<double> Q_B = qr_B.householderQ() * Matrix<double>::Identity(n, m);
  const Matrix<double> Q_A = qr_A.householderQ() * Matrix<double>::Identity(n, m);
  const Matrix<double> core = (Q_B.transpose() * B) * (A * Q_A);
  const Eigen::JacobiSVD<Matrix<double>> svd(core, Eigen::ComputeFullU | Eigen::ComputeFullV);
  const Eigen::VectorXd& sigma = svd.singularValues();
  const Index kept = std::min(rank, m);
  // Half of each singular value in each factor: both are of one size.
  const Eigen::VectorXd root = std::sqrt(size_B) * std::sqrt(size_A) * sigma.head(kept).cwiseSqrt();
  result.factors.B.leftCols(kept) = Q_B * svd.matrixU().leftCols(kept) * root.asDiagonal();
  result.factors.A.topRows(kept) =
      root.asDiagonal() * svd.matrixV().leftCols(kept).transpose() * Q_A.transpose();
  const double all = sigma.norm();
  result.dropped = all > 0.0 ? sigma.tail(m - kept).norm() / all : 0.0;
  result.spectrum = size_B * (size_A * sigma);
  return result;
}

}  // namespace lorma::inline LORMA_ABI

#endif
