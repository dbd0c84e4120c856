// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_TRUNCATED_SVD_HPP
#define LORMA_ANALYSIS_TRUNCATED_SVD_HPP

/// The leading singular triplets of a large matrix from a few products with it.
///
///   TruncatedSvd svd = truncated_svd(M, {.rank = 16});          // U diag(sigma) V^T, residual
///   TruncatedSvd svd = truncated_svd(M, {.energy = 0.99});      // as many as that takes
/// Source: Halko, Martinsson, Tropp, "Finding structure with randomness", SIAM Review 53 (2011),
/// algorithms 4.4 and 5.1: a random sketch, subspace iterations with a factorization after each.

#include <cstdint>

#include "lorma/analysis/singular_values.hpp"
#include "lorma/analysis/tolerance.hpp"
#include "lorma/core/decompositions.hpp"
#include "lorma/core/random.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// How much of a matrix to keep: the smallest rank that energy or tolerance allows, `rank` at most.
struct Truncation {
  Index rank = 0;          ///< at most; 0: min(m, n)
  double energy = 1.0;     ///< share of the squared Frobenius norm that is enough
  double tolerance = 0.0;  ///< relative error in the Frobenius norm that is small enough

  /// The relative error that is small enough.
  double allowed() const { return std::max(tolerance, std::sqrt(std::max(0.0, 1.0 - energy))); }
};

/// The leading triplets of M, and what they miss of it.
struct TruncatedSvd {
  Matrix<double> U;         ///< m x r, orthonormal columns
  Eigen::VectorXd sigma;    ///< descending
  Matrix<double> V;         ///< n x r, orthonormal columns
  double residual = 0.0;    ///< ||M - U diag(sigma) V^T||_F / ||M||_F; 0 for M = 0
  Eigen::VectorXd leading;  ///< sigma, and what was found of the following ones
};

namespace detail {

inline void check_truncation(std::string_view function, const Truncation& t) {
  const bool good = t.rank >= 0 && t.energy >= 0.0 && t.energy <= 1.0 && t.tolerance >= 0.0;
  if (good) return;
  throw ShapeError("lorma::analysis::" + std::string(function) +
                   ": expected a rank >= 0, an energy from 0 to 1 and a tolerance >= 0, got " +
                   std::to_string(t.rank) + ", " + std::to_string(t.energy) + ", " +
                   std::to_string(t.tolerance));
}

/// The `width` leading triplets, approximately, of an M of `cols` columns that is known by times(X)
/// = M X and adjoint(Y) = M^T Y, five times each. The same result on every run.
template <typename Real, typename Times, typename Adjoint>
lorma::detail::Svd<Real> sketched_svd(Index cols, Index width, const Times& times,
                                      const Adjoint& adjoint) {
  using lorma::detail::orthonormal;
  constexpr int iterations = 4;
  SplitMix64 bits(0x10da);
  // Sums of uniform numbers are as good as Gaussian ones here.
  Matrix<Real> sketch = Matrix<Real>::Zero(cols, width);
  Matrix<Real> part(cols, width);
  for (int i = 0; i < 4; ++i) {
    fill_uniform(MatrixView<Real>(part.data(), part.rows(), width, part.rows()), 1.0, bits);
    sketch += part;
  }
  Matrix<Real> Q = orthonormal<Real>(times(sketch));
  for (int i = 0; i < iterations; ++i) {
    const Matrix<Real> Z = orthonormal<Real>(adjoint(Q));
    Q = orthonormal<Real>(times(Z));
  }
  lorma::detail::Svd<Real> turned = lorma::detail::thin_svd<Real>(adjoint(Q));  // n x width
  return {Q * turned.V, std::move(turned.sigma), std::move(turned.U)};
}

/// The smallest rank whose error, squared, is at most `allowed`, where `outside` is what all of
/// sigma leave; -1 if all of them are too few.
inline Index smallest_rank(const Eigen::VectorXd& sigma, double outside, double allowed) {
  double left = outside;
  Index r = sigma.size();
  if (left > allowed) return -1;
  while (r > 0 && left + sigma(r - 1) * sigma(r - 1) <= allowed) {
    --r;
    left += sigma(r) * sigma(r);
  }
  return r;
}

/// Triplets of an M of norm 1 of which `kept` are what is wanted; those that pad a sketch are left
/// behind them.
template <typename Real>
struct LeadingTriplets {
  lorma::detail::Svd<Real> svd;
  Index kept = 0;
};

/// As few as do, of a matrix whose smaller side is `smallest`; singular values up to `least` times
/// the largest are cut. sketched(width) gives some, all() every triplet, which is cheaper from
/// `too_wide` on.
template <typename Real, typename Sketched, typename All>
LeadingTriplets<Real> leading_triplets(Index smallest, double least, const Truncation& wanted,
                                       Index too_wide, const Sketched& sketched, const All& all) {
  const Index most = wanted.rank == 0 ? smallest : std::min(wanted.rank, smallest);
  const double allowed = wanted.allowed() * wanted.allowed();
  constexpr Index spare = 10;
  Index width = (allowed > 0.0 && wanted.rank == 0 ? 16 : most) + spare;
  LeadingTriplets<Real> result;
  for (;; width *= 2) {
    const bool has_all = width >= too_wide || smallest <= 64;
    result.svd = has_all ? all() : sketched(width);
    const Vector<Real>& sigma = result.svd.sigma;
    const Index limit = std::min(most, count_above(sigma, least * sigma(0)));
    // The difference of squares knows nothing below their rounding.
    const double outside = has_all ? 0.0 : std::max(1e-15, 1.0 - sigma.squaredNorm());
    // All of M is an error of 1, whatever the squares of sigma add up to.
    const Index found = allowed >= 1.0  ? 0
                        : allowed > 0.0 ? smallest_rank(sigma, outside, allowed)
                                        : limit;
    result.kept = found < 0 ? limit : std::min(found, limit);
    // The columns that pad a sketch are less exact: none of them is kept.
    if (has_all || result.kept == most || (found >= 0 && result.kept + spare <= width)) {
      return result;
    }
  }
}

/// B (m x rank) and A (rank x n) with B A = U diag(sigma) V^T: half of each singular value in each
/// factor, so that both are of one size; zero beyond those of sigma.
template <typename Real>
void split(const Matrix<Real>& U, const Vector<Real>& sigma, const Matrix<Real>& V, Index rank,
           Matrix<Real>& B, Matrix<Real>& A) {
  const Index kept = std::min(rank, sigma.size());
  const Vector<Real> root = sigma.head(kept).cwiseSqrt();
  B.setZero(U.rows(), rank);
  A.setZero(rank, V.rows());
  B.leftCols(kept) = U.leftCols(kept) * root.asDiagonal();
  A.topRows(kept) = root.asDiagonal() * V.leftCols(kept).transpose();
}

/// `m` is finite; singular values up to `least` times the largest are cut.
template <typename Real>
TruncatedSvd truncated_svd(const Matrix<Real>& m, double least, const Truncation& wanted) {
  const Index smallest = std::min(m.rows(), m.cols());
  const double unit = unit_of(m);
  Matrix<Real> scaled = m / unit;
  const double size = scaled.norm();
  LeadingTriplets<Real> found{{Matrix<Real>(m.rows(), 0), {}, Matrix<Real>(m.cols(), 0)}};
  TruncatedSvd result;
  if (smallest > 0 && size > 0.0) {
    scaled /= size;
    const auto sketched = [&](Index width) {
      return sketched_svd<Real>(
          m.cols(), width, [&](const auto& X) { return Matrix<Real>(scaled * X); },
          [&](const auto& Y) { return Matrix<Real>(scaled.transpose() * Y); });
    };
    // A wide sketch costs more than the decomposition itself.
    found = leading_triplets<Real>(smallest, least, wanted, smallest / 4, sketched,
                                   [&] { return lorma::detail::thin_svd(scaled); });
    const auto& svd = found.svd;
    const Matrix<Real> left =
        scaled - svd.U.leftCols(found.kept) * (svd.sigma.head(found.kept).asDiagonal() *
                                               svd.V.leftCols(found.kept).transpose());
    result.residual = left.norm();
    found.svd.sigma = (svd.sigma * size) * unit;
  }
  result.U = found.svd.U.leftCols(found.kept);
  result.V = found.svd.V.leftCols(found.kept);
  result.sigma = found.svd.sigma.head(found.kept);
  result.leading = std::move(found.svd.sigma);
  return result;
}

#ifdef LORMA_COMPILED
extern template TruncatedSvd truncated_svd(const Matrix<double>&, double, const Truncation&);
extern template void split(const Matrix<double>&, const Vector<double>&, const Matrix<double>&,
                           Index, Matrix<double>&, Matrix<double>&);
#endif

}  // namespace detail

/// Singular values that rounding explains (up to max(m, n) eps sigma_1, as in numerical_rank) are
/// cut; a zero matrix gives rank 0. The same result on every run and platform that rounds alike.
/// Cost of rank r alone: 20 m n (r + 10) flops; of an energy or a tolerance that asks for r: up to
/// four times that. Throws ShapeError for a negative rank and its like, NonFinite.
template <typename Derived>
TruncatedSvd truncated_svd(const Eigen::MatrixBase<Derived>& M, const Truncation& wanted) {
  detail::check_truncation("truncated_svd", wanted);
  return detail::truncated_svd(detail::finite_copy("truncated_svd", M), default_tolerance(M),
                               wanted);
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
