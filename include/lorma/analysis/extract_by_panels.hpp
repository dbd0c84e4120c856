// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_EXTRACT_BY_PANELS_HPP
#define LORMA_ANALYSIS_EXTRACT_BY_PANELS_HPP

/// extract.hpp for weights of many more rows than columns that are read a few rows at a time.
///
///   PanelExtraction<> found(W0, W, eps);              // two sources of m x n, m >= n
///   ExtractedFactors f = found.factors<Pre>(wanted);  // as extract<Pre>(W0, W, wanted)
///
/// With W0 = Q R and D = W - W0 = Q_D R_D all of a size of m x n is a product with R, R_D or a
/// panel: W0^+ = R^+ R^-T W0^T, D = (D V) V^T for the right singular vectors V of R_D. A source has
/// rows(), cols() and read(first, count, out). For weights of many more columns, read them turned
/// and swap the sides and the factors.

#include <algorithm>

#include "lorma/analysis/extract.hpp"
#include "lorma/analysis/tall_triangle.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// A template, so only callers pay its compile time; Real is double. Memory: n^2 numbers a dozen
/// times, two panels, and the factors.
template <typename Source, typename Real = double>
class PanelExtraction {
 public:
  /// Two passes over both. `epsilon` is that of the type that W0 is stored in; `check` is called
  /// between panels. Throws ShapeError, NonFinite.
  template <typename Check>
  PanelExtraction(const Source& W0, const Source& W, double epsilon, Check&& check)
      : before_(W0), after_(W) {
    detail::check_same_size("extract", Sizes(W0), Sizes(W));
    const Index n = W0.cols();
    TallTriangle<Real> of_weight(n), of_change(n);
    cross_ = Matrix<Real>::Zero(n, n);
    for_panels([&](Index, const Matrix<Real>& old, const Matrix<Real>& change) {
      check();
      if (!old.allFinite() || !change.allFinite()) {
        detail::throw_non_finite("extract", W0.rows(), n);
      }
      of_weight.add(old);
      of_change.add(change);
      cross_.noalias() += old.transpose() * change;
    });
    R_ = of_weight.upper();
    R_change_ = of_change.upper();
    tolerance_ = static_cast<double>(W0.rows()) * epsilon;
    size_ = R_change_.stableNorm();
  }

  /// ||W - W0||_F.
  double size() const { return size_; }

  /// Where `Side` is that of this orientation: Pre multiplies the m rows.
  template <typename Side>
  Reach reach() const {
    const PseudoInverse<Real> inverse("extract", R_, tolerance_);
    Reach result;
    result.base_rank = inverse.rank();
    if constexpr (std::is_same_v<Side, Pre>) {
      result.reaches_all = inverse.has_full_column_rank();
      if (!result.reaches_all && size_ > 0.0) {
        result.unreachable = (R_change_ - inverse.project(R_change_)).stableNorm() / size_;
      }
    } else {
      result.reaches_all = inverse.rank() == before_.rows();
      const Matrix<Real> X = solution(inverse);
      double squares = 0.0;
      for_panels([&](Index, const Matrix<Real>& old, const Matrix<Real>& change) {
        squares += (change - old * X).squaredNorm();
      });
      if (!result.reaches_all && size_ > 0.0) result.unreachable = std::sqrt(squares) / size_;
    }
    return result;
  }

  /// The factors of the LoRMA+ adapter; `residual` is left to residual().
  template <typename Side>
  ExtractedFactors factors(const Truncation& wanted) const {
    ExtractedFactors result;
    static_cast<Reach&>(result) = reach<Side>();
    const PseudoInverse<Real> inverse("extract", R_, tolerance_);
    if constexpr (std::is_same_v<Side, Pre>) {
      const AdditiveParts parts = truncated(inverse.project(R_change_), wanted);
      result.spectrum = parts.leading;
      result.B = times_change(parts.right_over_root);
      // right W0^+ = (right R^+ R^-T) W0^T, once more for what rounding left.
      const Matrix<Real> gram = R_.transpose() * R_;
      Matrix<Real> Z = twice(inverse, parts.right);
      Z += twice(inverse, parts.right - Z * gram);
      result.A.resize(Z.rows(), before_.rows());
      for_panels([&](Index i, const Matrix<Real>& old, const Matrix<Real>&) {
        result.A.middleCols(i, old.rows()).noalias() = Z * old.transpose();
      });
    } else {
      // W0 X is the part of D in the columns' span of W0, and R X has its singular values.
      const Matrix<Real> reached = R_ * solution(inverse);
      const TruncatedSvd svd = analysis::truncated_svd(reached, wanted);
      result.spectrum = svd.leading;
      Matrix<Real> left;
      detail::split<Real>(svd.U, svd.sigma, svd.V, std::max<Index>(1, svd.sigma.size()), left,
                          result.A);
      const PseudoInverse<Real> turned("extract", Matrix<Real>(R_.transpose()), tolerance_);
      result.B = turned.times(left.transpose()).transpose();
    }
    return result;
  }

  /// The best B A for D itself: m x r and r x n.
  PlusFactors additive(const Truncation& wanted) const {
    const AdditiveParts parts = truncated(R_change_, wanted);
    return {times_change(parts.right_over_root), parts.right};
  }

  /// ||D - B A W0||_F / ||D||_F (Pre), of W0 B A (Post).
  template <typename Side>
  double residual(const Matrix<Real>& B, const Matrix<Real>& A) const {
    if constexpr (std::is_same_v<Side, Pre>) {
      Matrix<Real> reached = Matrix<Real>::Zero(A.rows(), before_.cols());
      for_panels([&](Index i, const Matrix<Real>& old, const Matrix<Real>&) {
        reached.noalias() += A.middleCols(i, old.rows()) * old;
      });
      return additive_residual(B, reached);
    } else {
      double squares = 0.0;
      for_panels([&](Index, const Matrix<Real>& old, const Matrix<Real>& change) {
        squares += (change - (old * B) * A).squaredNorm();
      });
      return size_ > 0.0 ? std::sqrt(squares) / size_ : 0.0;
    }
  }

  /// ||D - B A||_F / ||D||_F.
  double additive_residual(const Matrix<Real>& B, const Matrix<Real>& A) const {
    double squares = 0.0;
    for_panels([&](Index i, const Matrix<Real>& old, const Matrix<Real>& change) {
      squares += (change - B.middleRows(i, old.rows()) * A).squaredNorm();
    });
    return size_ > 0.0 ? std::sqrt(squares) / size_ : 0.0;
  }

 private:
  struct Sizes {
    explicit Sizes(const Source& s) : rows_(s.rows()), cols_(s.cols()) {}
    Index rows() const { return rows_; }
    Index cols() const { return cols_; }
    Index rows_, cols_;
  };
  /// V diag(sigma)^-1/2 and diag(sigma)^1/2 V^T.
  struct AdditiveParts {
    Matrix<Real> right_over_root;
    Matrix<Real> right;
    Eigen::VectorXd leading;
  };

  template <typename F>
  void for_panels(F&& f) const {
    const Index most = TallTriangle<Real>::rows_at_a_time(before_.cols());
    Matrix<Real> old, change;
    for (Index i = 0; i < before_.rows(); i += most) {
      const Index count = std::min(most, before_.rows() - i);
      before_.read(i, count, old);
      after_.read(i, count, change);
      change -= old;
      f(i, old, change);
    }
  }

  /// Y R^+ R^-T
  Matrix<Real> twice(const PseudoInverse<Real>& inverse, const Matrix<Real>& Y) const {
    const PseudoInverse<Real> turned("extract", Matrix<Real>(R_.transpose()), tolerance_);
    return turned.times(inverse.times(Y));
  }

  /// W0^+ D = R^+ R^-T (W0^T D)
  Matrix<Real> solution(const PseudoInverse<Real>& inverse) const {
    Matrix<Real> X = twice(inverse, cross_.transpose()).transpose();
    // Once more, as R^T R has squared the condition number.
    Matrix<Real> left = Matrix<Real>::Zero(X.rows(), X.cols());
    for_panels([&](Index, const Matrix<Real>& old, const Matrix<Real>& change) {
      left.noalias() += old.transpose() * (change - old * X);
    });
    X += twice(inverse, left.transpose()).transpose();
    return X;
  }

  AdditiveParts truncated(const Matrix<Real>& like_change, const Truncation& wanted) const {
    const TruncatedSvd svd = analysis::truncated_svd(like_change, wanted);
    const Index rank = std::max<Index>(1, svd.sigma.size());
    AdditiveParts parts{Matrix<Real>::Zero(like_change.cols(), rank),
                        Matrix<Real>::Zero(rank, like_change.cols()), svd.leading};
    for (Index i = 0; i < svd.sigma.size(); ++i) {
      const double root = std::sqrt(svd.sigma(i));
      parts.right_over_root.col(i) = svd.V.col(i) / root;
      parts.right.row(i) = root * svd.V.col(i).transpose();
    }
    return parts;
  }

  /// D V
  Matrix<Real> times_change(const Matrix<Real>& V) const {
    Matrix<Real> product(before_.rows(), V.cols());
    for_panels([&](Index i, const Matrix<Real>& old, const Matrix<Real>& change) {
      product.middleRows(i, old.rows()).noalias() = change * V;
    });
    return product;
  }

  const Source& before_;
  const Source& after_;
  Matrix<Real> R_, R_change_;
  Matrix<Real> cross_;  ///< W0^T D
  double tolerance_ = 0.0;
  double size_ = 0.0;
};

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
