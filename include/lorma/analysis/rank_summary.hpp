// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_RANK_SUMMARY_HPP
#define LORMA_ANALYSIS_RANK_SUMMARY_HPP

/// The rank of a matrix and both ends of its spectrum, without what lies between.
///
///   RankSummary s = rank_summary(W);      // s.rank, s.largest / s.smallest, s.stable_rank
///
/// The rank comes by inertia, as in certain_rank.hpp; the ends by Lanczos iteration with the Gram
/// matrix that is at hand and with its inverse, by the factors of the inertia where the rank is
/// full, else by Cholesky's. The smallest singular value is |M v| for
/// the vector found so, which is exact to the square of v's error. Where the Gram matrix has lost
/// that vector in its rounding, and where inertia does not tell the rank, all singular values are
/// computed.

#include <cmath>
#include <optional>

#include "lorma/analysis/certain_rank.hpp"
#include "lorma/analysis/rank_report.hpp"
#include "lorma/analysis/tall_gram.hpp"
#include "lorma/analysis/tall_triangle.hpp"

namespace lorma::inline LORMA_ABI::analysis {

struct RankSummary {
  Index rank = 0;
  Index rank_beyond_storage = 0;  ///< as in RankReport
  double tolerance = 0.0;         ///< absolute
  RankMethod method = RankMethod::svd;
  double largest = 0.0;   ///< sigma_1, to four digits by inertia
  double smallest = 0.0;  ///< sigma_min(m, n), likewise
  double condition = 1.0;
  double stable_rank = 0.0;
};

namespace detail {

/// Of the iterations for both ends.
inline constexpr double settled = 1e-8;
inline constexpr Index most_steps = 300;

/// Calls f with panels (p x min(m, n)) of the long side of a matrix, in double; of a square one by
/// its columns, as in gram.
template <typename Derived, typename F>
void for_panels(const Eigen::DenseBase<Derived>& m, Index count, F&& f) {
  const Index length = std::max(m.rows(), m.cols());
  for (Index i = 0; i < length; i += count) {
    const Index rows = std::min(count, length - i);
    if (m.rows() > m.cols()) {
      f(Matrix<double>(m.derived().middleRows(i, rows).template cast<double>()));
    } else {
      f(Matrix<double>(m.derived().middleCols(i, rows).template cast<double>().transpose()));
    }
  }
}

/// From the Gram matrix of an m x n matrix, G, which is scaled: the rank by a relative tolerance,
/// sigma_1 and the stable rank; nothing where it does not tell.
template <typename Real>
std::optional<RankSummary> upper_end_of_gram(Matrix<Real>& G, Index m, Index n, double relative,
                                             ShiftedFactors<Real>& factors) {
  const double squares = G.trace();
  const auto answer = rank_by_inertia(G, m, n, relative, std::nullopt, &factors);
  if (!answer) return std::nullopt;
  RankSummary result;
  result.method = answer->method;
  result.tolerance = answer->tolerance;
  result.rank = result.rank_beyond_storage = answer->rank;
  if (squares == 0.0) return result;
  const auto symmetric = G.template selfadjointView<Eigen::Lower>();
  const auto top = first_ritz_pair<Real>(
      G.rows(), [&](const auto& v) { return Vector<Real>(symmetric * v); }, settled, most_steps);
  if (!top.has_settled) return std::nullopt;
  result.largest = std::sqrt(top.value) * unit_of_squares(squares);
  result.stable_rank = squares / (result.largest * result.largest);
  return result;
}

/// The least eigenvalue of G, to within rounding, and its vector; `factors` are those of a shift
/// below it, or empty. Not settled where that fails.
template <typename Real>
RitzPair<Real> last_ritz_pair(const Matrix<Real>& G, const ShiftedFactors<Real>& factors) {
  RitzPair<Real> inverse;
  if (factors.LD.size() > 0) {
    const auto L = factors.LD.template triangularView<Eigen::UnitLower>();
    const auto apply = [&](const auto& v) {
      Vector<Real> x = v;
      L.solveInPlace(x);
      x.array() /= factors.LD.diagonal().array();
      L.transpose().solveInPlace(x);
      return x;
    };
    inverse = first_ritz_pair<Real>(G.rows(), apply, settled, most_steps);
  } else {
    const auto factor = lorma::detail::cholesky(G, 0.0);
    if (!factor) return inverse;
    const auto L = factor->template triangularView<Eigen::Lower>();
    const auto apply = [&](const auto& v) {
      Vector<Real> x = v;
      L.solveInPlace(x);
      L.transpose().solveInPlace(x);
      return x;
    };
    inverse = first_ritz_pair<Real>(G.rows(), apply, settled, most_steps);
  }
  inverse.value = factors.shift + 1.0 / inverse.value;
  return inverse;
}

/// From the Gram matrix of an m x n matrix of T, but its smallest singular value, whose vector goes
/// to `last`; nothing where it does not tell.
template <typename T, typename Real>
std::optional<RankSummary> summary_of_gram(Matrix<Real>& G, Index m, Index n, Vector<Real>& last) {
  const double squares = G.trace();
  ShiftedFactors<Real> factors;
  auto result = upper_end_of_gram(G, m, n, relative_tolerance<T>(m, n), factors);
  if (!result || squares == 0.0) return result;
  const double unit = unit_of_squares(squares);  // by which G is scaled now
  if (StorageOnlyScalar<T>) {
    const double storage = storage_rounding<T>(m, n, std::sqrt(squares)) / unit;
    if (storage * unit > result->tolerance) {
      Matrix<Real> beside;
      Workspace workspace;
      const auto beyond = eigenvalues_above(workspace, G, storage * storage, beside);
      if (!beyond) return std::nullopt;
      result->rank_beyond_storage = *beyond;
    }
  }
  RitzPair<Real> least = last_ritz_pair(G, factors);
  if (!least.has_settled) return std::nullopt;
  // What rounding usually does to the Gram matrix and its factor.
  const double first = result->largest / unit;
  const double error =
      8.0 * std::sqrt(static_cast<double>(std::max(m, n))) * 0x1p-53 * first * first;
  if (!(error <= 0.03 * least.value)) return std::nullopt;
  last = std::move(least.vector);
  return result;
}

/// From all singular values, descending.
template <typename Derived>
RankSummary summary_of(const Eigen::VectorXd& sigma, const Eigen::DenseBase<Derived>& m) {
  const RankReport report = rank_report_from(sigma, m);
  return {report.rank,      report.rank_beyond_storage,
          report.tolerance, RankMethod::svd,
          report.largest,   report.smallest,
          report.condition, report.stable_rank};
}

}  // namespace detail

/// All singular values of a finite matrix, descending, whose long side is read a panel at a time:
/// memory of min(m, n)^2 numbers where the sides differ much. Throws NonFinite. Cost O(m n min(m,
/// n)).
template <typename Derived>
Eigen::VectorXd singular_values_by_panels(const Eigen::DenseBase<Derived>& m) {
  const Index p = std::min(m.rows(), m.cols());
  const Index length = std::max(m.rows(), m.cols());
  if (length < 3 * p) return singular_values(m);
  TallTriangle<> triangle(p);
  detail::for_panels(m, rows_at_a_time, [&](const Matrix<double>& panel) {
    if (!panel.allFinite()) detail::throw_non_finite("singular_values", m.rows(), m.cols());
    triangle.add(panel);
  });
  return singular_values(triangle.upper());
}

/// From the Gram matrix (lower triangle) of a matrix of m rows, in double and without overflow or
/// underflow, by the tolerance of T: all but `smallest` and `condition`, and rank_beyond_storage is
/// the rank. G is scaled. Nothing where G does not tell the rank. Cost: that of certain_rank.
template <typename T>
std::optional<RankSummary> rank_summary_of_gram(Matrix<double>& G, Index m) {
  detail::ShiftedFactors<double> unused;
  return detail::upper_end_of_gram(G, m, G.cols(), detail::relative_tolerance<T>(m, G.cols()),
                                   unused);
}

/// The matrix is read where it lies, a panel at a time. Throws NonFinite. Cost: that of
/// certain_rank, for a deficient matrix also min(m, n)^3 / 3, or of all singular values.
template <typename Derived>
RankSummary rank_summary(const Eigen::DenseBase<Derived>& m) {
  using T = typename Derived::Scalar;
  constexpr Index worth = 96;
  if constexpr (!std::is_same_v<T, double>) {
    if (std::min(m.rows(), m.cols()) >= worth) {
      Matrix<double> G = detail::gram(m);
      if (!std::isfinite(G.trace())) detail::throw_non_finite("rank_summary", m.rows(), m.cols());
      Vector<double> last;
      auto summary = detail::summary_of_gram<T>(G, m.rows(), m.cols(), last);
      if (summary) {
        double squares = 0.0;
        if (last.size() > 0) {
          detail::for_panels(m, rows_at_a_time, [&](const Matrix<double>& panel) {
            squares += (panel * last).squaredNorm();
          });
        }
        summary->smallest = std::sqrt(squares);
        summary->condition = summary->largest > 0.0 ? summary->largest / summary->smallest
                                                    : std::numeric_limits<double>::infinity();
        return *summary;
      }
    }
  }
  return detail::summary_of(singular_values_by_panels(m), m);
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
