// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_PSEUDO_INVERSE_HPP
#define LORMA_ANALYSIS_PSEUDO_INVERSE_HPP

/// Products with W0^+, the Moore-Penrose inverse of a weight, which is never formed.
///
///   PseudoInverse inverse("name of the caller", W0);     // W0 is d x k
///   Matrix<double> x = inverse.times(Y);                 // Y W0^+, for Y of k columns
/// A weight of full rank goes through the Cholesky factorization of its smaller Gram matrix in
/// double and one step of refinement; its condition number is squared there, so it is done only
/// where the factorization shows that both the rank and the digits are certain. Other weights go
/// through a singular value decomposition, cut at the tolerance of W0's type (tolerance.hpp).

#include <Eigen/Cholesky>
#include <Eigen/SVD>
#include <optional>

#include "lorma/analysis/singular_values.hpp"
#include "lorma/analysis/tolerance.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// A template so that only who uses it compiles a decomposition; Real is double.
template <typename Real = double>
class PseudoInverse {
 public:
  /// Cost d k min(d, k) flops at the rate of products, or of one singular value decomposition.
  /// `function` stands in messages. Throws NonFinite.
  template <typename Derived>
  PseudoInverse(std::string_view function, const Eigen::DenseBase<Derived>& W0)
      : weight_(detail::finite_copy(function, W0)) {
    const Index smallest = std::min(rows(), cols());
    if (smallest == 0) return;
    const double tolerance = default_tolerance(W0);
    const double size = weight_.cwiseAbs().maxCoeff();
    if (!(size > 0.0)) return;
    // Squares neither overflow nor vanish. A power of two: nothing is rounded.
    unit_ = std::exp2(std::floor(std::log2(size)));
    weight_ /= unit_;
    factorize_gram(tolerance);
    if (!gram_) decompose(tolerance);
  }

  Index rows() const { return weight_.rows(); }
  Index cols() const { return weight_.cols(); }
  /// Numerical rank of W0.
  Index rank() const { return rank_; }
  /// Whether every target can be reached by a multiplier from the left (Theorem 1).
  bool has_full_column_rank() const { return rank_ == cols(); }

  /// Y W0^+ (m x d) for Y (m x k). Cost 6 m d k.
  Matrix<Real> times(const Matrix<Real>& Y) const {
    if (rank_ == 0 || Y.rows() == 0) return Matrix<Real>::Zero(Y.rows(), rows());
    Matrix<Real> x = once(Y);
    if (gram_) x += once(Y - x * weight_);
    return x / unit_;
  }

  /// Y W0^+ W0: the rows of Y projected on the span of those of W0.
  Matrix<Real> project(const Matrix<Real>& Y) const {
    if (rank_ == 0 || Y.rows() == 0) return Matrix<Real>::Zero(Y.rows(), cols());
    if (has_full_column_rank()) return Y;
    if (!gram_) return (Y * V_) * V_.transpose();
    const Matrix<Real> once_projected = once(Y) * weight_;
    return once_projected + once(Y - once_projected) * weight_;
  }

 private:
  Matrix<Real> once(const Matrix<Real>& Y) const {
    if (!gram_) return ((Y * V_) * inverse_sigma_.asDiagonal()) * U_.transpose();
    // Wide: W0^T (W0 W0^T)^-1; tall: (W0^T W0)^-1 W0^T.
    if (rows() <= cols()) {
      const Matrix<Real> right = weight_ * Y.transpose();
      return gram_->solve(right).transpose();
    }
    return gram_->solve(Y.transpose()).transpose() * weight_.transpose();
  }

  void factorize_gram(double tolerance) {
    const bool wide = rows() <= cols();
    const Index n = std::min(rows(), cols());
    Matrix<Real> gram = Matrix<Real>::Zero(n, n);
    if (wide) {
      gram.noalias() = weight_ * weight_.transpose();
    } else {
      gram.noalias() = weight_.transpose() * weight_;
    }
    gram_.emplace(gram);
    // The estimate of 1 / condition(Gram) may be a few times too large; that of W0 is its root.
    const double margin = std::max(10.0 * tolerance * tolerance, 1e-9);
    if (gram_->info() == Eigen::Success && gram_->rcond() > margin) {
      rank_ = n;
    } else {
      gram_.reset();
    }
  }

  void decompose(double tolerance) {
    const Eigen::BDCSVD<Matrix<Real>> svd(weight_, Eigen::ComputeThinU | Eigen::ComputeThinV);
    const auto& sigma = svd.singularValues();
    rank_ = detail::count_above(sigma, tolerance * detail::largest(sigma));
    U_ = svd.matrixU().leftCols(rank_);
    V_ = svd.matrixV().leftCols(rank_);
    inverse_sigma_ = sigma.head(rank_).cwiseInverse();
  }

  Matrix<Real> weight_;  ///< W0 / unit_
  double unit_ = 1.0;
  Index rank_ = 0;
  std::optional<Eigen::LLT<Matrix<Real>>> gram_;
  Matrix<Real> U_, V_;  ///< where there is no gram_
  Eigen::VectorXd inverse_sigma_;
};

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
