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

#include <optional>

#include "lorma/analysis/singular_values.hpp"
#include "lorma/analysis/tolerance.hpp"
#include "lorma/core/decompositions.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// A template, so only callers pay its compile time; Real is double.
template <typename Real = double>
class PseudoInverse {
 public:
  /// Cost d k min(d, k) flops at the rate of products, or of one singular value decomposition.
  /// `function` stands in messages. Throws NonFinite.
  template <typename Derived>
  PseudoInverse(std::string_view function, const Eigen::DenseBase<Derived>& W0)
      : weight_(detail::finite_copy(function, W0)) {
    decompose(default_tolerance(W0));
  }
  /// The same, cut at `tolerance` times the largest singular value.
  template <typename Derived>
  PseudoInverse(std::string_view function, const Eigen::DenseBase<Derived>& W0, double tolerance)
      : weight_(detail::finite_copy(function, W0)) {
    decompose(tolerance);
  }

  Index rows() const { return weight_.rows(); }
  Index cols() const { return weight_.cols(); }
  /// Numerical rank of W0.
  Index rank() const { return rank_; }
  /// W0 / unit(), where unit() is the power of two that makes its largest entry 1 to 2.
  const Matrix<Real>& weight() const { return weight_; }
  double unit() const { return unit_; }
  /// Whether every target can be reached by a multiplier from the left (Theorem 1).
  bool has_full_column_rank() const { return rank_ == cols(); }

  /// Y W0^+ (m x d) for Y (m x k). Cost 6 m d k.
  Matrix<Real> times(const Matrix<Real>& Y) const { return times_of_weight(Y) / unit_; }
  /// Y weight()^+: of no unit.
  Matrix<Real> times_of_weight(const Matrix<Real>& Y) const;

  /// Y W0^+ W0: the rows of Y projected on the span of those of W0.
  Matrix<Real> project(const Matrix<Real>& Y) const;

 private:
  void decompose(double tolerance);
  Matrix<Real> once(const Matrix<Real>& Y) const;

  Matrix<Real> weight_;
  double unit_ = 1.0;
  Index rank_ = 0;
  std::optional<Matrix<Real>> gram_;  ///< the Cholesky factor of the smaller Gram matrix
  lorma::detail::Svd<Real> svd_;      ///< of weight_, cut at its rank, where there is no gram_
};

template <typename Real>
Matrix<Real> PseudoInverse<Real>::times_of_weight(const Matrix<Real>& Y) const {
  if (rank_ == 0 || Y.rows() == 0) return Matrix<Real>::Zero(Y.rows(), rows());
  Matrix<Real> x = once(Y);
  if (gram_) x += once(Y - x * weight_);
  return x;
}

template <typename Real>
Matrix<Real> PseudoInverse<Real>::project(const Matrix<Real>& Y) const {
  if (rank_ == 0 || Y.rows() == 0) return Matrix<Real>::Zero(Y.rows(), cols());
  if (has_full_column_rank()) return Y;
  if (!gram_) return (Y * svd_.V) * svd_.V.transpose();
  const Matrix<Real> once_projected = once(Y) * weight_;
  return once_projected + once(Y - once_projected) * weight_;
}

template <typename Real>
Matrix<Real> PseudoInverse<Real>::once(const Matrix<Real>& Y) const {
  if (!gram_) return ((Y * svd_.V) * svd_.sigma.cwiseInverse().asDiagonal()) * svd_.U.transpose();
  // Wide: W0^T (W0 W0^T)^-1; tall: (W0^T W0)^-1 W0^T.
  const bool wide = rows() <= cols();
  Matrix<Real> right = wide ? Matrix<Real>(weight_ * Y.transpose()) : Matrix<Real>(Y.transpose());
  const auto L = gram_->template triangularView<Eigen::Lower>();
  L.solveInPlace(right);
  L.transpose().solveInPlace(right);
  if (wide) return right.transpose();
  return right.transpose() * weight_.transpose();
}

template <typename Real>
void PseudoInverse<Real>::decompose(double tolerance) {
  const Index n = std::min(rows(), cols());
  if (weight_.isZero(0.0)) return;
  unit_ = detail::unit_of(weight_);
  weight_ /= unit_;
  const Matrix<Real> gram = rows() <= cols() ? Matrix<Real>(weight_ * weight_.transpose())
                                             : Matrix<Real>(weight_.transpose() * weight_);
  // The estimate of 1 / condition(Gram) may be a few times too large; that of W0 is its root.
  gram_ = lorma::detail::cholesky(gram, std::max(10.0 * tolerance * tolerance, 1e-9));
  if (gram_) {
    rank_ = n;
    return;
  }
  svd_ = lorma::detail::thin_svd(weight_);
  rank_ = detail::count_above(svd_.sigma, tolerance * detail::largest(svd_.sigma));
  svd_.U.conservativeResize(Eigen::NoChange, rank_);
  svd_.sigma.conservativeResize(rank_);
  svd_.V.conservativeResize(Eigen::NoChange, rank_);
}

#ifdef LORMA_COMPILED
extern template class PseudoInverse<double>;
#endif

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
