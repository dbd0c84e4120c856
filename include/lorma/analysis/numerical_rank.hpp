// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_NUMERICAL_RANK_HPP
#define LORMA_ANALYSIS_NUMERICAL_RANK_HPP

/// Numerical rank: the number of singular values above a tolerance.
///
/// The default tolerance is that of NumPy, PyTorch and MATLAB: max(m, n) eps(Scalar) sigma_1, with
/// the eps of the type that the matrix is stored in.

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

template <typename T>
constexpr double epsilon_of() {
  if constexpr (std::is_same_v<T, Eigen::half>) return 0x1p-10;
  if constexpr (std::is_same_v<T, Eigen::bfloat16>) return 0x1p-7;
  if constexpr (std::is_same_v<T, float>) return 0x1p-23;
  return 0x1p-52;
}

inline Index count_above(const Eigen::VectorXd& sigma, double tolerance) {
  Index rank = 0;
  while (rank < sigma.size() && sigma(rank) > tolerance) ++rank;
  return rank;
}

inline void check_tolerance(double value) {
  if (value >= 0.0) return;
  throw Error("lorma::analysis::numerical_rank: expected a tolerance >= 0, got " +
              std::to_string(value));
}

inline double largest(const Eigen::VectorXd& sigma) {
  return sigma.size() == 0 ? 0.0 : sigma(0);
}

}  // namespace detail

/// max(m, n) eps sigma_1, relative to sigma_1.
template <typename Derived>
double default_tolerance(const Eigen::DenseBase<Derived>& m) {
  return static_cast<double>(std::max(m.rows(), m.cols())) *
         detail::epsilon_of<typename Derived::Scalar>();
}

/// Rank with the default tolerance; 0 for an empty or zero matrix. Throws NonFinite.
template <typename Derived>
Index numerical_rank(const Eigen::DenseBase<Derived>& m) {
  const Eigen::VectorXd sigma =
      detail::singular_values_of(detail::finite_copy("numerical_rank", m));
  return detail::count_above(sigma, default_tolerance(m) * detail::largest(sigma));
}

template <typename Derived>
Index numerical_rank(const Eigen::DenseBase<Derived>& m, AbsoluteTolerance tolerance) {
  detail::check_tolerance(tolerance.value);
  return detail::count_above(detail::singular_values_of(detail::finite_copy("numerical_rank", m)),
                             tolerance.value);
}

template <typename Derived>
Index numerical_rank(const Eigen::DenseBase<Derived>& m, RelativeTolerance tolerance) {
  detail::check_tolerance(tolerance.value);
  const Eigen::VectorXd sigma =
      detail::singular_values_of(detail::finite_copy("numerical_rank", m));
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
  return m.cols() - numerical_rank(m);
}

/// Rank at least `fraction` of min(m, n) (the paper's "within 99 % of the maximum rank").
/// An empty matrix is of full rank.
template <typename Derived>
bool is_near_full_rank(const Eigen::DenseBase<Derived>& m, double fraction = 0.99) {
  const auto full = static_cast<double>(std::min(m.rows(), m.cols()));
  return static_cast<double>(numerical_rank(m)) >= fraction * full;
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
