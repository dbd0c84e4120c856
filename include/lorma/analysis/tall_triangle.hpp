// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_TALL_TRIANGLE_HPP
#define LORMA_ANALYSIS_TALL_TRIANGLE_HPP

/// R of a matrix M = Q R that comes a few rows at a time and is never held whole.
///
///   TallTriangle<> triangle(n);
///   while (...) triangle.add(rows);      // p x n
///   singular_values(triangle.upper());   // those of M
///
/// Singular values, the right singular vectors, norms and the row space of M are those of R.
/// Source: Golub and Van Loan, Matrix Computations, section 6.5 (updating a QR factorization).

#include <algorithm>

#include "lorma/core/decompositions.hpp"
#include "lorma/core/types.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// A template, so only callers pay its compile time; Real is double.
template <typename Real = double>
class TallTriangle {
 public:
  explicit TallTriangle(Index cols) : cols_(cols), most_(5 * cols + 64), stack_(0, cols) {}

  /// More rows of M, any number. Cost 2.5 p n^2. Memory: up to 5 n^2 numbers.
  template <typename Derived>
  void add(const Eigen::MatrixBase<Derived>& rows) {
    for (Index i = 0; i < rows.rows();) {
      if (filled_ == most_) factor();
      const Index count = std::min(rows.rows() - i, most_ - filled_);
      make_room(filled_ + count);
      stack_.middleRows(filled_, count) = rows.middleRows(i, count);
      filled_ += count;
      i += count;
    }
  }

  /// R: min(m, n) x n.
  Matrix<Real> upper() {
    factor();
    return stack_.topRows(filled_);
  }

 private:
  void make_room(Index rows) {
    if (stack_.rows() >= rows) return;
    Matrix<Real> larger(std::min(most_, std::max(rows, 2 * stack_.rows())), cols_);
    larger.topRows(filled_) = stack_.topRows(filled_);
    stack_.swap(larger);
  }

  /// The rows become their R. Done as rarely as memory allows: each time those of the last R are
  /// factored again.
  void factor() {
    if (filled_ == 0) return;
    lorma::detail::triangle_in_place<Real>(stack_.topRows(filled_));
    filled_ = std::min(filled_, cols_);
  }

  Index cols_;
  Index most_;  ///< rows of the stack
  Index filled_ = 0;
  Matrix<Real> stack_;  ///< R, and the rows that are not yet in it
};

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
