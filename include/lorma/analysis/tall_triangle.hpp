// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_TALL_TRIANGLE_HPP
#define LORMA_ANALYSIS_TALL_TRIANGLE_HPP

/// R of a matrix M = Q R that comes a few rows at a time and is never held whole.
///
///   TallTriangle<> triangle(n);
///   while (...) triangle.add(rows);           // p x n
///   singular_values(triangle.upper());            // those of M
///
/// Singular values, the right singular vectors, norms and the row space of M are those of R.
/// Source: Golub and Van Loan, Matrix Computations, section 6.5 (updating a QR factorization).

#include <Eigen/QR>
#include <algorithm>

#include "lorma/core/types.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// A template, so only callers pay its compile time; Real is double.
template <typename Real = double>
class TallTriangle {
 public:
  explicit TallTriangle(Index cols) : cols_(cols) {}

  /// Rows that it takes at a time at the best rate. Memory: these and R.
  static Index rows_at_a_time(Index cols) { return std::max<Index>(2 * cols, 64); }

  /// More rows of M. Cost 2 (p + n) n^2.
  template <typename Derived>
  void add(const Eigen::MatrixBase<Derived>& rows) {
    const Index kept = std::min(seen_, cols_);
    const Index count = kept + rows.rows();
    if (stack_.rows() < count) {
      Matrix<Real> larger(std::max(count, cols_ + rows_at_a_time(cols_)), cols_);
      if (kept > 0) larger.topRows(kept) = stack_.topRows(kept);
      stack_.swap(larger);
    }
    Eigen::Ref<Matrix<Real>> all = stack_.topRows(count);
    for (Index j = 0; j < std::min(kept, cols_); ++j) {
      all.col(j).segment(j + 1, kept - j - 1).setZero();  // where reflections were
    }
    all.bottomRows(rows.rows()) = rows;
    seen_ += rows.rows();
    const Eigen::HouseholderQR<Eigen::Ref<Matrix<Real>>> in_place(all);
  }

  /// R: min(m, n) x n.
  Matrix<Real> upper() const {
    const Index kept = std::min(seen_, cols_);
    return stack_.topRows(kept).template triangularView<Eigen::Upper>();
  }

 private:
  Index cols_;
  Index seen_ = 0;
  Matrix<Real> stack_;  ///< R, and room for the next rows
};

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
