// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_TOLERANCE_HPP
#define LORMA_ANALYSIS_TOLERANCE_HPP

/// What counts as zero.
///
/// The default tolerance is that of NumPy, PyTorch and MATLAB: max(m, n) eps sigma_1, with the eps
/// of the type that the matrix is stored in.

#include <limits>

#include "lorma/analysis/singular_values.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// Singular values up to `value` count as zero.
struct AbsoluteTolerance {
  double value;
};

/// Singular values up to `value` times the largest count as zero.
struct RelativeTolerance {
  double value;
};

namespace detail {

/// max(m, n) eps. half and bfloat16 count as float: with an eps of their own it passes 1 and every
/// large matrix has rank 0; NumPy and PyTorch want them converted to float first, too.
template <typename T>
double relative_tolerance(Index m, Index n) {
  return static_cast<double>(std::max(m, n)) * epsilon_of<Accumulator<T>>();
}

/// What rounding to T may have added to an m x n matrix, in the Frobenius norm.
template <typename T>
double storage_rounding(Index m, Index n, double frobenius_norm) {
  const double entries = std::sqrt(static_cast<double>(m)) * std::sqrt(static_cast<double>(n));
  const double smallest = static_cast<double>(std::numeric_limits<T>::denorm_min());
  return 0.5 * (epsilon_of<T>() * frobenius_norm + smallest * entries);
}

inline Index count_above(const Eigen::VectorXd& sigma, double tolerance) {
  Index rank = 0;
  while (rank < sigma.size() && sigma(rank) > tolerance) ++rank;
  return rank;
}

inline void check_tolerance(double value) {
  if (value >= 0.0) return;
  throw Error("lorma::analysis: expected a tolerance >= 0, got " + std::to_string(value));
}

inline double largest(const Eigen::VectorXd& sigma) {
  return sigma.size() == 0 ? 0.0 : sigma(0);
}

}  // namespace detail

/// max(m, n) eps sigma_1, relative to sigma_1.
template <typename Derived>
double default_tolerance(const Eigen::DenseBase<Derived>& m) {
  return detail::relative_tolerance<typename Derived::Scalar>(m.rows(), m.cols());
}

/// Half an eps of the type that M is stored in, times ||M||_F: what rounding M to that type may
/// have added in the 2-norm. A product of rank r in half or bfloat16 has singular values up to it
/// beyond the r-th, which the default tolerance counts; numerical_rank(M, storage_tolerance(M))
/// does not. Throws NonFinite.
template <typename Derived>
AbsoluteTolerance storage_tolerance(const Eigen::DenseBase<Derived>& m) {
  const double norm = detail::finite_copy("storage_tolerance", m).stableNorm();
  return {detail::storage_rounding<typename Derived::Scalar>(m.rows(), m.cols(), norm)};
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
