// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_NUMERICAL_RANK_HPP
#define LORMA_ANALYSIS_NUMERICAL_RANK_HPP

/// Numerical rank: the number of singular values above a tolerance (tolerance.hpp).

#include "lorma/analysis/certain_rank.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// Rank with the default tolerance; 0 for an empty or zero matrix. Throws NonFinite. Cost: see
/// certain_rank.
template <typename Derived>
Index numerical_rank(const Eigen::DenseBase<Derived>& m) {
  return detail::certain_rank("numerical_rank", m).rank;
}

template <typename Derived>
Index numerical_rank(const Eigen::DenseBase<Derived>& m, AbsoluteTolerance tolerance) {
  return detail::certain_rank("numerical_rank", m, tolerance).rank;
}

template <typename Derived>
Index numerical_rank(const Eigen::DenseBase<Derived>& m, RelativeTolerance tolerance) {
  detail::check_tolerance(tolerance.value);
  const Eigen::VectorXd sigma = detail::spectrum_of("numerical_rank", m).sigma;
  return detail::count_above(sigma, tolerance.value * detail::largest(sigma));
}

/// A plain number is an absolute tolerance, as in numpy.linalg.matrix_rank.
template <typename Derived>
Index numerical_rank(const Eigen::DenseBase<Derived>& m, double tolerance) {
  return numerical_rank(m, AbsoluteTolerance{tolerance});
}

/// min(m, n) - rank for the columns' side: n - rank.
template <typename Derived>
Index nullity(const Eigen::DenseBase<Derived>& m) {
  return m.cols() - detail::certain_rank("nullity", m).rank;
}

/// Rank at least `fraction` of min(m, n) (the paper's "within 99 % of the maximum rank").
/// An empty matrix is of full rank.
template <typename Derived>
bool is_near_full_rank(const Eigen::DenseBase<Derived>& m, double fraction = 0.99) {
  const auto full = static_cast<double>(std::min(m.rows(), m.cols()));
  const Index rank = detail::certain_rank("is_near_full_rank", m).rank;
  return static_cast<double>(rank) >= fraction * full;
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
