// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_FIND_MULTIPLIER_HPP
#define LORMA_ANALYSIS_FIND_MULTIPLIER_HPP

/// Which multiplier takes one weight to another (the paper's Theorem 1 and Corollary 1.1), and
/// which LoRMA+ adapter of rank r comes closest.

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

/// Factors of the LoRMA+ adapter of rank r, scale 1, whose merged weight is nearest to W:
/// the minimum of ||(I + B A) W0 - W||_F (Pre) or ||W0 (I + B A) - W||_F (Post) over all B, A.
struct ExtractedFactors {
  Matrix<double> B;       ///< n x r
  Matrix<double> A;       ///< r x n
  double residual = 0.0;  ///< of the merged weight against W, relative to ||W - W0||_F
  /// Relative residual that no rank could go below: the part of W - W0 outside the span of W0.
  double unreachable = 0.0;
  Eigen::VectorXd spectrum;  ///< of the reachable change, descending: what each rank would gain
};

/// r is cut to the rank that the change has, the rest of the factors is zero. Cost of two singular
/// value decompositions. Throws ShapeError, NonFinite, Error for r < 1.
template <typename Side = Pre, typename D0, typename D1>
ExtractedFactors extract(const Eigen::DenseBase<D0>& W0, const Eigen::DenseBase<D1>& W, Index r) {
  constexpr bool pre = std::is_same_v<Side, Pre>;
  detail::check_same_size("extract", W0, W);
  if (r < 1) {
    throw ShapeError("lorma::analysis::extract: expected a rank r >= 1, got " + std::to_string(r));
  }
  const Matrix<double> change =
      detail::finite_copy("extract", W) - detail::finite_copy("extract", W0);
  const detail::Decomposition d = detail::decompose("extract", W0);
  // With W0 = U S V^T and Y = X U S, ||X W0 - D||^2 = ||Y - D V||^2 + ||D - D V V^T||^2: the best Y
  // of rank r is the truncated SVD of D V. Post is the same, transposed.
  const Matrix<double> reachable =
      pre ? Matrix<double>(change * d.V) : Matrix<double>(change.transpose() * d.U);
  const Index n = Side::dim(W0.rows(), W0.cols());
  ExtractedFactors result;
  result.B = Matrix<double>::Zero(n, r);
  result.A = Matrix<double>::Zero(r, n);
  const double size = change.norm();
  if (size == 0.0 || reachable.cols() == 0) {
    result.residual = result.unreachable = size == 0.0 ? 0.0 : 1.0;
    return result;
  }
  const Eigen::BDCSVD<Matrix<double>> svd(reachable, Eigen::ComputeThinU | Eigen::ComputeThinV);
  result.spectrum = svd.singularValues();
  const double least = default_tolerance(reachable) * detail::largest(result.spectrum);
  const Index kept = std::min(r, detail::count_above(result.spectrum, least));
  const Eigen::VectorXd root = result.spectrum.head(kept).cwiseSqrt();
  const Matrix<double> first = svd.matrixU().leftCols(kept) * root.asDiagonal();
  const Matrix<double> second = root.asDiagonal() * svd.matrixV().leftCols(kept).transpose() *
                                d.sigma.cwiseInverse().asDiagonal();
  if constexpr (pre) {
    result.B.leftCols(kept) = first;
    result.A.topRows(kept) = second * d.U.transpose();
  } else {
    // (X^T for W0^T) transposed: B A = (first second V^T)^T.
    result.B.leftCols(kept) = d.V * second.transpose();
    result.A.topRows(kept) = first.transpose();
  }
  const double outside = pre ? (change - reachable * d.V.transpose()).squaredNorm()
                             : (change.transpose() - reachable * d.U.transpose()).squaredNorm();
  const double cut = result.spectrum.tail(result.spectrum.size() - kept).squaredNorm();
  result.unreachable = std::sqrt(outside) / size;
  result.residual = std::sqrt(outside + cut) / size;
  return result;
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
