// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_EXTRACT_BY_PANELS_HPP
#define LORMA_ANALYSIS_EXTRACT_BY_PANELS_HPP

/// extract.hpp for weights of many more rows than columns that are read a few rows at a time.
///
///   PanelExtraction<> found(W0, W, eps);              // two sources of m x n, m >= n
///   ExtractedFactors f = found.factors<Pre>(wanted);  // as extract<Pre>(W0, W, wanted)
///
/// With W0 = Q R all of a size of m x n is a product with R or a panel: W0^+ = R^+ R^-T W0^T, and
/// for D = W - W0 the truncated decomposition comes from a sketch by products with panels (as in
/// truncated_svd.hpp), or where that would be wide from R_D of D = Q_D R_D. A source has rows(),
/// cols() and read(first, count, out). For weights of many more columns, read them turned and swap
/// the sides and the factors.

#include <algorithm>
#include <functional>
#include <optional>
#include <utility>

#include "lorma/analysis/extract.hpp"
#include "lorma/analysis/tall_gram.hpp"
#include "lorma/analysis/tall_triangle.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// A template, so only callers pay its compile time; Real is double. Memory: n^2 numbers a dozen
/// times, two panels, and m numbers five times for each of r + 10 columns of a sketch (n / 10 of
/// them at most).
template <typename Source, typename Real = double>
class PanelExtraction {
 public:
  /// One pass over both, and another over W0 where its condition number is above about 1e4.
  /// `epsilon` is that of the type that W0 is stored in; `check` is called between panels, now and
  /// later. Cost m n^2, with the other pass 3.5 m n^2. Throws ShapeError, NonFinite.
  PanelExtraction(const Source& W0, const Source& W, double epsilon, std::function<void()> check)
      : before_(W0), after_(W), check_(std::move(check)) {
    detail::check_same_size("extract", Sizes(W0), Sizes(W));
    const Index n = W0.cols();
    TallGram<Real> gram(n);
    for_panels([&](Index, const Matrix<Real>& old, const Matrix<Real>& change) {
      if (!old.allFinite() || !change.allFinite()) {
        detail::throw_non_finite("extract", W0.rows(), n);
      }
      gram.add(old);
      size_ = std::hypot(size_, change.stableNorm());
    });
    R_ = triangle_of_weight(gram.lower());
    tolerance_ = static_cast<double>(W0.rows()) * epsilon;
    inverse_.emplace("extract", R_, tolerance_);
    if (!inverse_->has_full_column_rank()) {
      projection_ = inverse_->project(Matrix<Real>::Identity(n, n));
    }
  }

  /// ||W - W0||_F.
  double size() const { return size_; }

  /// Where `Side` is that of this orientation: Pre multiplies the m rows. Cost: none for Pre and a
  /// W0 of full rank, else 2 m n^2; for Post 8 m n^2. Found once.
  template <typename Side>
  const Reach& reach() const {
    constexpr bool is_pre = std::is_same_v<Side, Pre>;
    std::optional<Reach>& known = is_pre ? reach_of_pre_ : reach_of_post_;
    if (known) return *known;
    Reach result;
    result.base_rank = inverse_->rank();
    result.reaches_all = result.base_rank == (is_pre ? before_.cols() : before_.rows());
    if (!result.reaches_all && size_ > 0.0) {
      const Matrix<Real>* X = is_pre ? nullptr : &solution();
      double outside = 0.0;
      for_panels([&](Index, const Matrix<Real>& old, const Matrix<Real>& change) {
        const Matrix<Real> inside = is_pre ? change * projection_ : old * *X;
        outside = std::hypot(outside, (change - inside).stableNorm());
      });
      result.unreachable = outside / size_;
    }
    return known.emplace(result);
  }

  /// The factors of the LoRMA+ adapter; `residual` is left to residual(). Cost of rank r for Pre:
  /// 20 m n (r + 10), or 2.5 m n^2 where the sketch would be wide.
  template <typename Side>
  ExtractedFactors factors(const Truncation& wanted) const {
    ExtractedFactors result;
    static_cast<Reach&>(result) = reach<Side>();
    if constexpr (std::is_same_v<Side, Pre>) {
      const AdditiveParts parts = truncated(!result.reaches_all, wanted);
      result.spectrum = parts.leading;
      result.B = times_change(parts.right_over_root);
      // right W0^+ = (right R^+ R^-T) W0^T, once more for what rounding left.
      const Matrix<Real> gram = R_.transpose() * R_;
      Matrix<Real> Z = twice(parts.right);
      Z += twice(parts.right - Z * gram);
      result.A.resize(Z.rows(), before_.rows());
      for_weight([&](Index i, const Matrix<Real>& old) {
        result.A.middleCols(i, old.rows()).noalias() = Z * old.transpose();
      });
    } else {
      // W0 X is the part of D in the columns' span of W0, and R X has its singular values.
      const Matrix<Real> reached = R_ * solution();
      const TruncatedSvd svd = analysis::truncated_svd(reached, wanted);
      result.spectrum = svd.leading;
      Matrix<Real> left;
      detail::split<Real>(svd.U, svd.sigma, svd.V, std::max<Index>(1, svd.sigma.size()), left,
                          result.A);
      result.B = turned().times(left.transpose()).transpose();
    }
    return result;
  }

  /// The best B A for D itself: m x r and r x n.
  PlusFactors additive(const Truncation& wanted) const {
    const AdditiveParts parts = truncated(false, wanted);
    return {times_change(parts.right_over_root), parts.right};
  }

  /// ||D - B A W0||_F / ||D||_F (Pre), of W0 B A (Post).
  template <typename Side>
  double residual(const Matrix<Real>& B, const Matrix<Real>& A) const {
    if constexpr (std::is_same_v<Side, Pre>) {
      Matrix<Real> reached = Matrix<Real>::Zero(A.rows(), before_.cols());
      for_weight([&](Index i, const Matrix<Real>& old) {
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
  void for_weight(F&& f) const {
    Matrix<Real> old;
    for (Index i = 0; i < before_.rows(); i += rows_at_a_time) {
      check_();
      before_.read(i, std::min(rows_at_a_time, before_.rows() - i), old);
      f(i, old);
    }
  }

  template <typename F>
  void for_panels(F&& f) const {
    Matrix<Real> change;
    for_weight([&](Index i, const Matrix<Real>& old) {
      after_.read(i, old.rows(), change);
      change -= old;
      f(i, old, change);
    });
  }

  /// R of W0, from its Gram matrix where that keeps the digits that PseudoInverse asks of one.
  Matrix<Real> triangle_of_weight(const Matrix<Real>& gram) const {
    const double squares = gram.trace();
    constexpr double least = 1e-200;  // of which no square that counts has underflowed
    if (std::isfinite(squares) && squares >= least) {
      constexpr double margin = 1e-9;
      const auto L = lorma::detail::cholesky(gram, margin);
      if (L) return L->transpose().template triangularView<Eigen::Upper>();
    }
    TallTriangle<Real> triangle(before_.cols());
    for_weight([&](Index, const Matrix<Real>& old) { triangle.add(old); });
    return triangle.upper();
  }

  const PseudoInverse<Real>& turned() const {
    if (!turned_) turned_.emplace("extract", Matrix<Real>(R_.transpose()), tolerance_);
    return *turned_;
  }

  /// Y R^+ R^-T
  Matrix<Real> twice(const Matrix<Real>& Y) const { return turned().times(inverse_->times(Y)); }

  /// W0^+ D = R^+ R^-T (W0^T D), found once.
  const Matrix<Real>& solution() const {
    if (solution_) return *solution_;
    const Index n = before_.cols();
    Matrix<Real> right = Matrix<Real>::Zero(n, n);
    for_panels([&](Index, const Matrix<Real>& old, const Matrix<Real>& change) {
      right.noalias() += old.transpose() * change;
    });
    Matrix<Real> X = twice(right.transpose()).transpose();
    // Once more, as R^T R has squared the condition number.
    right.setZero();
    for_panels([&](Index, const Matrix<Real>& old, const Matrix<Real>& change) {
      right.noalias() += old.transpose() * (change - old * X);
    });
    X += twice(right.transpose()).transpose();
    return solution_.emplace(std::move(X));
  }

  /// Of D, or of the part of it that multipliers of the m rows reach.
  AdditiveParts truncated(bool is_projected, const Truncation& wanted) const {
    detail::check_truncation("extract", wanted);
    const Index n = before_.cols();
    const auto projected = [&](Matrix<Real>&& X) {
      return is_projected ? Matrix<Real>(projection_ * X) : std::move(X);
    };
    detail::LeadingTriplets<Real> found;
    if (size_ > 0.0) {
      const auto sketched = [&](Index width) {
        return detail::sketched_svd<Real>(
            n, width, [&](const auto& X) { return times_change(projected(X / size_)); },
            [&](const auto& Y) { return projected(change_times(Y / size_)); });
      };
      const auto all = [&] {
        TallTriangle<Real> triangle(n);
        for_panels([&](Index, const Matrix<Real>&, const Matrix<Real>& change) {
          triangle.add(change / size_);
        });
        const Matrix<Real> R = triangle.upper();
        return lorma::detail::thin_svd(is_projected ? Matrix<Real>(R * projection_) : R);
      };
      const double least = static_cast<double>(before_.rows()) * epsilon_of<Real>();
      // A sketch costs 20 m n width and m width numbers five times, a triangle 2.5 m n^2.
      found = detail::leading_triplets<Real>(n, least, wanted, n / 10, sketched, all);
    }
    const Index rank = std::max<Index>(1, found.kept);
    AdditiveParts parts{Matrix<Real>::Zero(n, rank), Matrix<Real>::Zero(rank, n),
                        found.svd.sigma * size_};
    for (Index i = 0; i < found.kept; ++i) {
      const double root = std::sqrt(parts.leading(i));
      parts.right_over_root.col(i) = found.svd.V.col(i) / root;
      parts.right.row(i) = root * found.svd.V.col(i).transpose();
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

  /// D^T Y
  Matrix<Real> change_times(const Matrix<Real>& Y) const {
    Matrix<Real> product = Matrix<Real>::Zero(before_.cols(), Y.cols());
    for_panels([&](Index i, const Matrix<Real>& old, const Matrix<Real>& change) {
      product.noalias() += change.transpose() * Y.middleRows(i, old.rows());
    });
    return product;
  }

  const Source& before_;
  const Source& after_;
  std::function<void()> check_;
  Matrix<Real> R_;
  double tolerance_ = 0.0;
  double size_ = 0.0;
  std::optional<PseudoInverse<Real>> inverse_;         ///< of R
  Matrix<Real> projection_;                            ///< R^+ R, where it is not I
  mutable std::optional<PseudoInverse<Real>> turned_;  ///< of R^T, once it was asked for
  mutable std::optional<Matrix<Real>> solution_;       ///< once it was asked for
  mutable std::optional<Reach> reach_of_pre_, reach_of_post_;
};

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
