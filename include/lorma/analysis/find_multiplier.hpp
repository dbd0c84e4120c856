// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_FIND_MULTIPLIER_HPP
#define LORMA_ANALYSIS_FIND_MULTIPLIER_HPP

/// Which multiplier takes one weight to another: the paper's Theorem 1 and Corollary 1.1.

#include <Eigen/SVD>
#include <string>

#include "lorma/analysis/tolerance.hpp"
#include "lorma/policies/side.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// Answer to "is there a P with P M0 = M (Pre) or M0 P = M (Post)?"
struct Multiplier {
  Matrix<double> P;       ///< M M0^+ (n x n, Pre) or M0^+ M (Post): least squares, of least norm
  double residual = 0.0;  ///< ||P M0 - M||_F / ||M||_F, or ||P M0|| where M = 0
  bool exists = false;    ///< residual explained by rounding
  /// Every M can be reached: M0 has full column rank (Pre) or full row rank (Post).
  bool reaches_all = false;
  std::string obstacle;  ///< why P is not exact, in words; empty when it is
};

namespace detail {

/// The thin SVD of M0 in double, cut at the default tolerance of M0's type.
struct Decomposition {
  Matrix<double> U, V;
  Eigen::VectorXd sigma;
};

template <typename Derived>
Decomposition decompose(std::string_view function, const Eigen::DenseBase<Derived>& M0) {
  const Matrix<double> m = finite_copy(function, M0);
  Decomposition d;
  if (m.size() == 0) {
    d.U.resize(m.rows(), 0);
    d.V.resize(m.cols(), 0);
    return d;
  }
  const Eigen::BDCSVD<Matrix<double>> svd(m, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Index rank =
      count_above(svd.singularValues(), default_tolerance(M0) * largest(svd.singularValues()));
  d.U = svd.matrixU().leftCols(rank);
  d.V = svd.matrixV().leftCols(rank);
  d.sigma = svd.singularValues().head(rank);
  return d;
}

template <typename A, typename B>
void check_same_size(std::string_view function, const A& M0, const B& M) {
  if (M0.rows() == M.rows() && M0.cols() == M.cols()) return;
  throw ShapeError("lorma::analysis::" + std::string(function) +
                   ": expected two matrices of one size, got " +
                   lorma::detail::shape(M0.rows(), M0.cols()) + " and " +
                   lorma::detail::shape(M.rows(), M.cols()));
}

}  // namespace detail

/// Cost of one singular value decomposition of M0. Throws ShapeError, NonFinite.
template <typename Side = Pre, typename D0, typename D1>
Multiplier find_multiplier(const Eigen::DenseBase<D0>& M0, const Eigen::DenseBase<D1>& M) {
  constexpr bool pre = std::is_same_v<Side, Pre>;
  detail::check_same_size("find_multiplier", M0, M);
  const Matrix<double> target = detail::finite_copy("find_multiplier", M);
  const detail::Decomposition d = detail::decompose("find_multiplier", M0);
  const auto inverse_sigma = d.sigma.cwiseInverse().asDiagonal();
  Multiplier result;
  Matrix<double> left;  // what P M0 or M0 P leaves of M: M minus its projection
  if constexpr (pre) {
    const Matrix<double> inner = target * d.V;
    result.P = inner * (inverse_sigma * d.U.transpose());
    left = target - inner * d.V.transpose();
  } else {
    const Matrix<double> inner = d.U.transpose() * target;
    result.P = d.V * (inverse_sigma * inner);
    left = target - d.U * inner;
  }
  const double size = target.norm();
  result.residual = size > 0.0 ? left.norm() / size : left.norm();
  const Index rank = d.sigma.size();
  const Index needed = pre ? M0.cols() : M0.rows();
  result.reaches_all = rank == needed;
  const double explained = 10.0 * static_cast<double>(std::max(M0.rows(), M0.cols())) *
                           detail::epsilon_of<typename D0::Scalar>();
  result.exists = result.residual <= explained;
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
