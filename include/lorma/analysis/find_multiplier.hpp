// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_FIND_MULTIPLIER_HPP
#define LORMA_ANALYSIS_FIND_MULTIPLIER_HPP

/// Which multiplier takes one weight to another: the paper's Theorem 1 and Corollary 1.1.

#include <string>

#include "lorma/analysis/pseudo_inverse.hpp"
#include "lorma/policies/side.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// Answer to "is there a P with P M0 = M (Pre) or M0 P = M (Post)?"
struct Multiplier {
  Matrix<double> P;       ///< M M0^+ (n x n, Pre) or M0^+ M (Post): least squares, of least norm
  double residual = 0.0;  ///< ||P M0 - M||_F / ||M||_F of this very P; 0 where M = 0
  bool exists = false;    ///< M lies in what M0 spans, to within rounding
  /// Every M can be reached: M0 has full column rank (Pre) or full row rank (Post).
  bool reaches_all = false;
  std::string obstacle;  ///< why P is not exact, in words; empty when it is
};

namespace detail {

template <typename A, typename B>
void check_same_size(std::string_view function, const A& M0, const B& M) {
  if (M0.rows() == M.rows() && M0.cols() == M.cols()) return;
  throw ShapeError("lorma::analysis::" + std::string(function) +
                   ": expected two matrices of one size, got " +
                   lorma::detail::shape(M0.rows(), M0.cols()) + " and " +
                   lorma::detail::shape(M.rows(), M.cols()));
}

}  // namespace detail

/// Cost: that of PseudoInverse. Throws ShapeError, NonFinite.
template <typename Side = Pre, typename D0, typename D1>
Multiplier find_multiplier(const Eigen::DenseBase<D0>& M0, const Eigen::DenseBase<D1>& M) {
  constexpr bool pre = std::is_same_v<Side, Pre>;
  detail::check_same_size("find_multiplier", M0, M);
  Matrix<double> target = detail::finite_copy("find_multiplier", M);
  const double unit = detail::unit_of(target);
  target /= unit;
  Multiplier result;
  Index rank = 0;
  double beyond = 0.0;
  const auto solve = [&](const PseudoInverse<>& inverse, const Matrix<double>& Y) {
    rank = inverse.rank();
    result.reaches_all = inverse.has_full_column_rank();
    result.P = inverse.times_of_weight(Y);
    const double size = Y.norm();
    if (size > 0.0) {
      beyond = (Y - inverse.project(Y)).norm() / size;
      result.residual = (Y - result.P * inverse.weight()).norm() / size;
    }
    result.P *= unit / inverse.unit();
    if (result.P.allFinite()) return;
    throw NonFinite(
        "lorma::analysis::find_multiplier: the multiplier is beyond the range of double");
  };
  if constexpr (pre) {
    solve(PseudoInverse<>("find_multiplier", M0), target);
  } else {  // M0 P = M is P^T M0^T = M^T
    solve(PseudoInverse<>("find_multiplier", M0.transpose()), target.transpose());
    result.P.transposeInPlace();
  }
  const Index needed = pre ? M0.cols() : M0.rows();
  const double explained = 10.0 * default_tolerance(M0);
  result.exists = beyond <= explained;
  if (!result.exists) {
    const std::string what = pre ? "column" : "row";
    result.obstacle = "M0 has " + what + " rank " + std::to_string(rank) + " of " +
                      std::to_string(needed) + ", and the " + (pre ? "rows" : "columns") +
                      " of M leave the space that its " + (pre ? "rows" : "columns") + " span";
  }
  return result;
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
