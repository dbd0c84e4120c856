// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_CERTAIN_RANK_HPP
#define LORMA_ANALYSIS_CERTAIN_RANK_HPP

/// The numerical rank of a matrix of float, half or bfloat16 without a singular value
/// decomposition.
///
/// Its Gram matrix G is formed in double, where the square of float's tolerance is far above
/// rounding; the singular values above t are the eigenvalues of G above t^2, counted by inertia.
/// sigma_1, and with it the tolerance, is enclosed: from below by a Rayleigh quotient, from above
/// by a factorization that shows mu I - G to be positive definite. The count at the upper end of
/// the interval of doubt is the least that the rank can be. The most that it can be comes, where
/// few singular values are missing, from a subspace on which G stays below the lower end (Courant
/// and Fischer), found by inverse iteration with the factors at hand; else from the count at that
/// end. When the two agree the rank is certain: every rounding on the way (Gram matrix, shift,
/// factorizations, enclosure) is bounded. Otherwise a singular value lies within that interval
/// around the tolerance and the decomposition decides.

#include <cmath>
#include <optional>
#include <utility>

#include "lorma/analysis/inertia.hpp"
#include "lorma/analysis/lanczos.hpp"
#include "lorma/analysis/tolerance.hpp"
#include "lorma/core/decompositions.hpp"
#include "lorma/core/random.hpp"

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
  /// The exact singular values of M have this rank. Always by inertia. By decomposition where all
  /// of them are farther from the tolerance than its error, svd_error; so never for a deficient
  /// matrix of double, whose tolerance is of that size.
  bool certain = false;
};

namespace detail {

/// G += X X^T, lower triangle.
template <typename Real>
void add_square(Matrix<Real>& G, const MatrixView<const Real>& X) {
  visit_eigen(X, [&](const auto& x) { G.template selfadjointView<Eigen::Lower>().rankUpdate(x); });
}

/// G = M M^T or M^T M, the smaller, lower triangle, by panels of the long side converted to double.
template <typename Derived, typename Real = DoubleFor<Derived>>
Matrix<Real> gram(const Eigen::DenseBase<Derived>& m) {
  const bool wide = m.cols() >= m.rows();
  const Index p = wide ? m.rows() : m.cols();
  const Index length = wide ? m.cols() : m.rows();
  Matrix<Real> G = Matrix<Real>::Zero(p, p);
  const Index width = std::clamp<Index>((Index(1) << 22) / std::max<Index>(p, 1), 64, 1024);
  // Panels keep the order of m, so that converting them reads and writes in sequence.
  constexpr int order = Derived::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor;
  Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic, order> panel;
  for (Index j = 0; j < length; j += width) {
    const Index count = std::min(width, length - j);
    if (wide) {
      panel = m.derived().middleCols(j, count).template cast<Real>();
      add_square(G, as_const(view_of(panel)));
    } else {
      panel = m.derived().middleRows(j, count).template cast<Real>();
      add_square(G, as_const(view_of(panel)).transposed());
    }
  }
  return G;
}

/// ||G||_F or a little more, from the lower triangle.
template <typename Real>
double norm_of(const Matrix<Real>& G) {
  double squares = 0.0;
  for (Index j = 0; j < G.cols(); ++j) squares += G.col(j).tail(G.rows() - j).squaredNorm();
  return std::sqrt(2.0 * squares);
}

/// low <= the largest eigenvalue of G <= high; `ritz` is within, near its lower end.
struct LargestEigenvalue {
  double low = 0.0;
  double ritz = 0.0;
  double high = 0.0;
};

/// Of a positive semidefinite G (lower triangle) of trace near 1; nothing where no upper end is
/// proved. The factorization is in float, whose error is small enough here.
template <typename Real>
std::optional<LargestEigenvalue> largest_eigenvalue(Workspace& workspace, const Matrix<Real>& G) {
  const Index p = G.rows();
  // In double: that product in float reads memory that was never written, in OpenBLAS 0.3.21's
  // kernels for SSE.
  const auto symmetric = G.template selfadjointView<Eigen::Lower>();
  constexpr double settled = 1e-4;
  constexpr Index steps = 80;
  const Vector<Real> v =
      first_ritz_pair<Real>(
          p, [&](const auto& x) { return Vector<Real>(symmetric * x); }, settled, steps)
          .vector;
  const Vector<Real> Gv = symmetric * v;
  LargestEigenvalue result;
  result.ritz = v.dot(Gv) / v.squaredNorm();
  const double size = norm_of(G);
  // |v|^T |G| |v| is at most ||G||_F |v|^2.
  result.low = result.ritz - 6.0 * static_cast<double>(p + 2) * 0x1p-53 * size;
  // float, but known as such only once Real is.
  using Narrow = std::conditional_t<std::is_same_v<Real, double>, float, Real>;
  Matrix<Narrow> narrow(p, p);
  for (const double above : {4e-3, 4e-2}) {
    const double mu = result.ritz * (1.0 + above);
    narrow.template triangularView<Eigen::Lower>() = (-G).template cast<Narrow>();
    narrow.diagonal() = (mu - G.diagonal().array()).template cast<Narrow>();
    // One rounding of each number to float.
    const double cast = 1.1 * 0x1p-24 * (size + mu * std::sqrt(static_cast<double>(p)));
    const Inertia inertia = inertia_in_place(workspace, view_of(narrow));
    if (inertia.positive == p) {
      result.high = mu + inertia.error + cast;
      return result;
    }
  }
  return std::nullopt;
}

/// Share of a threshold that the error of a factorization may take.
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

/// True when `few` eigenvalues of G are proved to be below `threshold`: V^T (G - threshold I) V has
/// no more negative ones than G - threshold I has, whatever V. False says nothing. `rounding`
/// bounds (p + 2) u ||G||_F. Cost O(p^2 few) an iteration.
template <typename Real>
bool has_small_eigenvalues(const Matrix<Real>& G, const Matrix<Real>& factors, Index few,
                           double threshold, double rounding) {
  Workspace workspace;
  const Index p = G.rows();
  // The shift lies above the eigenvalues sought: some as near above it come along.
  const Index columns = 2 * few + 8;
  // Of G V, V^T (G V) and V^T V, for orthonormal columns of V to within their rounding.
  const double error = 4.0 * static_cast<double>(columns) * rounding;
  if (8 * columns > p || !(error < 0.25 * threshold)) return false;
  Matrix<Real> V(p, columns);
  SplitMix64 bits(1);
  fill_uniform(view_of(V), 0.5, bits);
  const auto L = factors.template triangularView<Eigen::UnitLower>();
  constexpr int iterations = 4;
  for (int i = 0; i < iterations; ++i) {
    L.solveInPlace(V);
    V.array().colwise() /= factors.diagonal().array();
    L.transpose().solveInPlace(V);
    V = lorma::detail::orthonormal(V);
    if (!V.allFinite()) return false;
    Matrix<Real> GV = G.template selfadjointView<Eigen::Lower>() * V;
    GV -= threshold * V;
    Matrix<Real> form = V.transpose() * GV;
    form.diagonal().array() += 2.0 * error;
    const Inertia inertia = inertia_in_place(workspace, view_of(form));
    if (inertia.zero == 0 && inertia.error <= error && inertia.negative >= few) return true;
  }
  return false;
}

/// L, unit and below the diagonal, and D, on it, of G - shift I; empty where there are none.
template <typename Real>
struct ShiftedFactors {
  Matrix<Real> LD;
  double shift = 0.0;
};

/// The power of two by which a matrix of this squared norm is divided, so that its square is from 1
/// to 4 and nothing is rounded: the same matrix, whatever power of two it comes with.
inline double unit_of_squares(double squares) {
  const int exponent = std::ilogb(squares);
  return std::ldexp(1.0, (exponent - (exponent & 1)) / 2);
}

/// From the Gram matrix of an m x n matrix with `relative` as its default tolerance; G, finite, is
/// scaled. Where the rank is full, `kept` becomes the factors that show it: all of D is positive.
template <typename Real>
std::optional<RankAnswer> rank_by_inertia(Matrix<Real>& G, Index m, Index n, double relative,
                                          std::optional<double> absolute,
                                          ShiftedFactors<Real>* kept = nullptr) {
  const double square_norm = G.trace();
  RankAnswer answer{0, absolute.value_or(0.0), RankMethod::inertia, 1.0, true};
  if (square_norm == 0.0) return answer;
  const double unit = unit_of_squares(square_norm);
  G *= 1.0 / (unit * unit);
  const double trace = G.trace();
  // (max(m, n) + 1) u |M| |M|^T, in the 2-norm at most the trace, for the Gram matrix; as much as u
  // |G| for a shift of its diagonal, and for the trace itself.
  const double length = static_cast<double>(std::max(m, n));
  const double gram_error = 1.1 * (length + 8.0) * 0x1p-53 * trace;
  Workspace workspace;
  double low = 0.0;
  double high = 0.0;
  if (absolute) {
    low = high = *absolute / unit;
  } else {
    const auto top = largest_eigenvalue(workspace, G);
    if (!top || !(top->low > gram_error)) return std::nullopt;
    low = relative * std::sqrt(top->low - gram_error);
    high = relative * std::sqrt(top->high + gram_error);
    answer.tolerance = relative * std::sqrt(top->ritz) * unit;
  }
  if (!(low > 0.0)) return std::nullopt;
  // The interval is made wider than the doubt, so that the margin holds around any tolerance in it.
  const double wider = std::max(1e-3, 0.6 * (high / low - 1.0));
  low *= 1.0 - wider;
  high *= 1.0 + wider;
  answer.margin = 0.5 * (high - low) / (answer.tolerance / unit);
  const double above = (high * high + gram_error) / (1.0 - factorization_share);
  const double below = (low * low - gram_error) / (1.0 + factorization_share);
  if (!(below > 0.5 * above)) return std::nullopt;
  Matrix<Real> factors;
  const std::optional<Index> least = eigenvalues_above(workspace, G, above, factors);
  if (!least) return std::nullopt;
  answer.rank = *least;
  const Index missing = G.rows() - *least;
  const double rounding = 1.1 * (length + 2.0) * 0x1p-53 * (norm_of(G) + below);
  if (missing == 0) {
    if (kept != nullptr) *kept = {std::move(factors), above};
    return answer;
  }
  if (has_small_eigenvalues(G, factors, missing, below, rounding)) return answer;
  const std::optional<Index> most = eigenvalues_above(workspace, G, below, factors);
  if (!most || *most != *least) return std::nullopt;
  return answer;
}

#ifdef LORMA_COMPILED
extern template void add_square(Matrix<double>&, const MatrixView<const double>&);
extern template std::optional<RankAnswer> rank_by_inertia(Matrix<double>&, Index, Index, double,
                                                          std::optional<double>,
                                                          ShiftedFactors<double>*);
#endif

/// certain_rank for the messages of `function`.
template <typename Derived>
RankAnswer certain_rank(std::string_view function, const Eigen::DenseBase<Derived>& m,
                        std::optional<AbsoluteTolerance> tolerance = std::nullopt) {
  std::optional<double> absolute;
  if (tolerance) {
    check_tolerance(tolerance->value);
    absolute = tolerance->value;
  }
  constexpr bool narrow = !std::is_same_v<typename Derived::Scalar, double>;
  constexpr Index worth = 96;
  if constexpr (narrow) {
    if (std::min(m.rows(), m.cols()) >= worth) {
      auto G = gram(m);
      // Squares of finite narrow numbers do not overflow a double.
      if (!std::isfinite(G.trace())) throw_non_finite(function, m.rows(), m.cols());
      const auto answer = rank_by_inertia(G, m.rows(), m.cols(), default_tolerance(m), absolute);
      if (answer) return *answer;
    }
  }
  const Spectrum spectrum = spectrum_of(function, m);
  const double relative =
      absolute ? *absolute / spectrum.unit : default_tolerance(m) * largest(spectrum.sigma);
  const double error = 1.01 * svd_error(m.rows(), m.cols()) * largest(spectrum.sigma);
  RankAnswer answer;
  answer.tolerance = absolute.value_or(relative * spectrum.unit);
  answer.rank = count_above(spectrum.sigma, relative);
  answer.certain =
      largest(spectrum.sigma) == 0.0 ||
      std::none_of(spectrum.sigma.data(), spectrum.sigma.data() + spectrum.sigma.size(),
                   [&](double s) { return !(std::abs(s - relative) > error); });
  return answer;
}

}  // namespace detail

/// Rank with the default or an absolute tolerance, by inertia where that is certain and pays, else
/// by singular values; says which, and whether it is certain. The same for M times a power of two.
/// Throws NonFinite. Cost m n min(m, n) + min(m, n)^3 / 2 to 5/6 flops in blocked products, min(m,
/// n)^2 numbers 2.25 times.
template <typename Derived>
RankAnswer certain_rank(const Eigen::DenseBase<Derived>& m,
                        std::optional<AbsoluteTolerance> tolerance = std::nullopt) {
  return detail::certain_rank("certain_rank", m, tolerance);
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
