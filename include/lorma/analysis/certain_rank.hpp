// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_CERTAIN_RANK_HPP
#define LORMA_ANALYSIS_CERTAIN_RANK_HPP

/// The numerical rank of a matrix of float, half or bfloat16 without a singular value
/// decomposition.
///
/// Its Gram matrix G is formed in double, where the square of float's tolerance is far above
/// rounding; the singular values above t are the eigenvalues of G above t^2, counted by inertia.
/// All errors are bounded: Gram matrix, factorization, sigma_1 in the tolerance. The count at the
/// upper end of the interval of doubt is the least that the rank can be. The most that it can be
/// comes, where few singular values are missing, from a subspace on which G stays below the lower
/// end (Courant and Fischer), found by inverse iteration with the factors at hand; else from the
/// count at that end. When the two agree the rank is certain, otherwise a singular value lies
/// within that interval around the tolerance and the decomposition decides.

#include <Eigen/Eigenvalues>
#include <cmath>
#include <cstdint>
#include <optional>

#include "lorma/analysis/inertia.hpp"
#include "lorma/analysis/tolerance.hpp"
#include "lorma/operators/decompositions.hpp"

namespace lorma::inline LORMA_ABI::analysis {

enum class RankMethod : unsigned char { inertia, svd };

constexpr std::string_view name_of(RankMethod method) {
  return method == RankMethod::inertia ? "inertia" : "svd";
}

/// A rank and what it rests on.
struct RankAnswer {
  Index rank = 0;
  double tolerance = 0.0;  ///< absolute
  RankMethod method = RankMethod::svd;
  /// Relative half-width of the interval around the tolerance that holds no singular value (method
  /// inertia); 0 for svd.
  double margin = 0.0;
};

namespace detail {

/// G += X X^T, lower triangle.
template <typename Real>
void add_square(Matrix<Real>& G, const MatrixView<const Real>& X) {
  visit_eigen(X, [&](const auto& x) { G.template selfadjointView<Eigen::Lower>().rankUpdate(x); });
}

/// G = M M^T or M^T M, the smaller, lower triangle, by panels of the long side converted to double.
template <typename Derived>
Matrix<double> gram(const Eigen::DenseBase<Derived>& m) {
  const bool wide = m.cols() >= m.rows();
  const Index p = wide ? m.rows() : m.cols();
  const Index length = wide ? m.cols() : m.rows();
  Matrix<double> G = Matrix<double>::Zero(p, p);
  const Index width = std::clamp<Index>((Index(1) << 22) / std::max<Index>(p, 1), 64, 1024);
  // Panels keep the order of m, so that converting them reads and writes in sequence.
  constexpr int order = Derived::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor;
  Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, order> panel;
  for (Index j = 0; j < length; j += width) {
    const Index count = std::min(width, length - j);
    if (wide) {
      panel = m.derived().middleCols(j, count).template cast<double>();
      add_square(G, as_const(view_of(panel)));
    } else {
      panel = m.derived().middleRows(j, count).template cast<double>();
      add_square(G, as_const(view_of(panel)).transposed());
    }
  }
  return G;
}

/// Largest eigenvalue of a positive semidefinite G (lower triangle): a Ritz value, at most the
/// truth, and its residual.
struct Largest {
  double value = 0.0;
  double residual = 0.0;
};

template <typename Real>
Largest largest_eigenvalue(const Matrix<Real>& G, double relative) {
  const Index p = G.rows();
  constexpr Index most = 80;
  const Index steps = std::min(most, p);
  Matrix<Real> basis(p, steps + 1);
  Vector<Real> v(p);
  // Multiples of the golden ratio modulo 1: a start that no eigenvector of interest is orthogonal
  // to.
  for (Index i = 0; i < p; ++i) {
    const double multiple = 0.61803398874989485 * static_cast<double>(i + 1);
    v(i) = multiple - std::floor(multiple) - 0.5;
  }
  basis.col(0) = v.normalized();
  Vector<Real> alpha = Vector<Real>::Zero(steps);
  Vector<Real> beta = Vector<Real>::Zero(steps);
  Largest result;
  for (Index k = 0; k < steps; ++k) {
    Vector<Real> w = G.template selfadjointView<Eigen::Lower>() * basis.col(k);
    alpha(k) = basis.col(k).dot(w);
    for (int again = 0; again < 2; ++again) {
      const Vector<Real> overlap = basis.leftCols(k + 1).transpose() * w;
      w.noalias() -= basis.leftCols(k + 1) * overlap;
    }
    beta(k) = w.norm();
    const bool last = k + 1 == steps || beta(k) <= 1e-14 * std::abs(alpha(0));
    if (last || k % 4 == 3) {
      Eigen::SelfAdjointEigenSolver<Matrix<Real>> ritz;
      ritz.computeFromTridiagonal(alpha.head(k + 1), beta.head(k));
      result.value = ritz.eigenvalues()(k);
      result.residual = std::abs(beta(k) * ritz.eigenvectors()(k, k));
      if (last || result.residual <= relative * result.value) return result;
    }
    basis.col(k + 1) = w / beta(k);
  }
  return result;
}

/// Share of the tolerance's square that the error of a factorization may take.
inline constexpr double factorization_share = 2e-3;

/// Eigenvalues of G above `threshold`, to within that share; `factors` then holds L and D of
/// G - threshold I.
template <typename Real>
std::optional<Index> eigenvalues_above(Workspace& workspace, const Matrix<Real>& G,
                                       double threshold, Matrix<Real>& factors) {
  factors.resize(G.rows(), G.cols());
  factors.template triangularView<Eigen::Lower>() = G;
  factors.diagonal().array() -= threshold;
  const Inertia inertia = inertia_in_place(workspace, view_of(factors));
  if (inertia.zero > 0 || !(inertia.error <= factorization_share * threshold)) return std::nullopt;
  return inertia.positive;
}

/// True when `few` orthogonal directions are found in which G is below `threshold`: then so are as
/// many of its eigenvalues. `rounding` bounds p u ||G||_F. False says nothing. Cost O(p^2 few) an
/// iteration.
template <typename Real>
bool has_small_eigenvalues(const Matrix<Real>& G, const Matrix<Real>& factors, Index few,
                           double threshold, double rounding) {
  const Index p = G.rows();
  // The shift lies above the eigenvalues sought: some as near above it come along.
  const Index columns = 2 * few + 8;
  const double certain = threshold - 2.0 * static_cast<double>(columns) * rounding;
  if (8 * columns > p || !(certain > 0.0)) return false;
  Matrix<Real> V(p, columns);
  std::uint64_t bits = 1;
  for (Index j = 0; j < columns; ++j) {
    for (Index i = 0; i < p; ++i) {
      bits = bits * 6364136223846793005U + 1442695040888963407U;
      V(i, j) = static_cast<Real>(bits >> 33) * Real(0x1p-31) - Real(0.5);
    }
  }
  const auto L = factors.template triangularView<Eigen::UnitLower>();
  constexpr int iterations = 4;
  for (int i = 0; i < iterations; ++i) {
    L.solveInPlace(V);
    V.array().colwise() /= factors.diagonal().array();
    L.transpose().solveInPlace(V);
    V = lorma::detail::orthonormal(V);
    const Matrix<Real> form = V.transpose() * (G.template selfadjointView<Eigen::Lower>() * V);
    const Eigen::SelfAdjointEigenSolver<Matrix<Real>> ritz(form, Eigen::EigenvaluesOnly);
    if (ritz.eigenvalues()(few - 1) < certain) return true;
  }
  return false;
}

/// From the Gram matrix of an m x n matrix with `relative` as its default tolerance.
template <typename Real>
std::optional<RankAnswer> rank_by_inertia(const Matrix<Real>& G, Index m, Index n, double relative,
                                          std::optional<double> absolute) {
  const double length = static_cast<double>(std::max(m, n));
  const double frobenius = G.trace();
  // Squares of finite narrow numbers do not overflow a double.
  if (!std::isfinite(frobenius)) throw_non_finite("certain_rank", m, n);
  if (frobenius == 0.0) return RankAnswer{0, absolute.value_or(0.0), RankMethod::inertia, 1.0};
  RankAnswer answer;
  answer.method = RankMethod::inertia;
  double doubt = 0.0;  // relative, of the tolerance
  if (absolute) {
    answer.tolerance = *absolute;
  } else {
    const Largest top = largest_eigenvalue(G, 5e-3);
    answer.tolerance = relative * std::sqrt(top.value);
    doubt = 0.5 * top.residual / top.value;
  }
  const double square = answer.tolerance * answer.tolerance;
  // Rounding of the Gram matrix: (length) u |M| |M|^T, in the 2-norm at most the trace.
  const double gram_error = (length + 1.0) * 0x1p-53 * frobenius;
  const double half_width = square * (2.0 * doubt + 1.1 * factorization_share) + gram_error;
  if (!(half_width < 0.5 * square)) return std::nullopt;
  Workspace workspace;
  Matrix<Real> factors;
  const double above = square + half_width;
  const double below = square - half_width;
  const std::optional<Index> high = eigenvalues_above(workspace, G, above, factors);
  if (!high) return std::nullopt;
  answer.rank = *high;
  answer.margin = 0.5 * half_width / square;
  const Index missing = G.rows() - *high;
  if (missing == 0 || has_small_eigenvalues(G, factors, missing, below, gram_error)) {
    return answer;
  }
  const std::optional<Index> low = eigenvalues_above(workspace, G, below, factors);
  if (!low || *low != *high) return std::nullopt;
  return answer;
}

#ifdef LORMA_COMPILED
extern template void add_square(Matrix<double>&, const MatrixView<const double>&);
extern template std::optional<RankAnswer> rank_by_inertia(const Matrix<double>&, Index, Index,
                                                          double, std::optional<double>);
#endif

}  // namespace detail

/// Rank with the default or an absolute tolerance, by inertia where that is certain and pays, else
/// by singular values; says which. Same answer as numerical_rank by decomposition. Throws
/// NonFinite. Cost m n min(m, n) + min(m, n)^3 / 3 to 2/3 flops in blocked products, min(m, n)^2
/// numbers 2.25 times.
template <typename Derived>
RankAnswer certain_rank(const Eigen::DenseBase<Derived>& m,
                        std::optional<AbsoluteTolerance> tolerance = std::nullopt) {
  using T = typename Derived::Scalar;
  std::optional<double> absolute;
  if (tolerance) {
    detail::check_tolerance(tolerance->value);
    absolute = tolerance->value;
  }
  constexpr bool narrow = !std::is_same_v<T, double>;
  constexpr Index worth = 96;
  if constexpr (narrow) {
    if (std::min(m.rows(), m.cols()) >= worth) {
      const auto answer = detail::rank_by_inertia(detail::gram(m), m.rows(), m.cols(),
                                                  default_tolerance(m), absolute);
      if (answer) return *answer;
    }
  }
  const Eigen::VectorXd sigma = detail::singular_values_of(detail::finite_copy("certain_rank", m));
  RankAnswer answer;
  answer.tolerance = absolute.value_or(default_tolerance(m) * detail::largest(sigma));
  answer.rank = detail::count_above(sigma, answer.tolerance);
  return answer;
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
