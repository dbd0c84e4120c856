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

#include "lorma/analysis/truncated_svd.hpp"
#include "lorma/core/plus_factors.hpp"

namespace lorma::inline LORMA_ABI {

/// P2 P1, of rank r1 + r2. For side Pre the weight becomes P2 (P1 W0): `second` is applied after
/// `first`; for Post pass them the other way round, W0 P1 P2 = W0 compose(P1, P2). Cost 4 n r1 r2.
/// Throws ShapeError unless both have one n, NonFinite.
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
  detail::check_finite_factors("compose", result);
  return result;
}

/// (1 - t) I + t P; t = 0 is the identity exactly.
inline PlusFactors with_strength(const PlusFactors& f, double t) {
  return {t * f.B, f.A};
}

/// Factors of another rank, and what they cost.
struct ChangeOfRank {
  PlusFactors factors;       ///< of the rank asked for
  double dropped = 0.0;      ///< ||P' - P||_F / ||P - I||_F
  Eigen::VectorXd spectrum;  ///< singular values of P - I, descending, min(n, r) of them
};

/// The P' = I + B' A' of rank at most `rank` that is nearest to P in the Frobenius norm; columns
/// beyond the rank of P - I are zero. The same of B A alone, as of LoRA, where A has another number
/// of columns. Cost O(n r^2). Throws ShapeError for rank < 1, NonFinite. A template, so only
/// callers pay its compile time.
template <typename Real = double>
ChangeOfRank with_rank(const PlusFactors& f, Index rank) {
  if (rank < 1) {
    throw ShapeError("lorma::with_rank: expected a rank >= 1, got " + std::to_string(rank));
  }
  const Index n = f.B.rows();
  const Index k = f.A.cols();  // n of P; any number where B A stands for itself
  const Index m = std::min({n, k, f.B.cols()});
  detail::check_finite_factors("with_rank", f);
  ChangeOfRank result;
  result.factors.B = Matrix<Real>::Zero(n, rank);
  result.factors.A = Matrix<Real>::Zero(rank, k);
  result.spectrum = Vector<Real>::Zero(m);
  const double size_B = m > 0 ? f.B.cwiseAbs().maxCoeff() : 0.0;
  const double size_A = m > 0 ? f.A.cwiseAbs().maxCoeff() : 0.0;
  if (size_B == 0.0 || size_A == 0.0) return result;
  // Of size 1, so that no square overflows or vanishes.
  const Matrix<Real> B = f.B / size_B;
  const Matrix<Real> A = f.A / size_A;
  const Matrix<Real> Q_B = detail::orthonormal(B);
  const Matrix<Real> Q_A = detail::orthonormal<Real>(A.transpose());
  const detail::Svd<Real> svd = detail::small_svd<Real>((Q_B.transpose() * B) * (A * Q_A));
  analysis::detail::split<Real>(Q_B * svd.U, svd.sigma, Q_A * svd.V, rank, result.factors.B,
                                result.factors.A);
  const double root = std::sqrt(size_B) * std::sqrt(size_A);
  result.factors.B *= root;
  result.factors.A *= root;
  const double all = svd.sigma.norm();
  result.dropped = all > 0.0 ? svd.sigma.tail(m - std::min(rank, m)).norm() / all : 0.0;
  result.spectrum = size_B * (size_A * svd.sigma);
  return result;
}

#ifdef LORMA_COMPILED
extern template ChangeOfRank with_rank<double>(const PlusFactors&, Index);
#endif

}  // namespace lorma::inline LORMA_ABI

#endif
