// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_TALL_GRAM_HPP
#define LORMA_ANALYSIS_TALL_GRAM_HPP

/// M^T M of a matrix M that comes a few rows at a time and is never held whole.
///
///   TallGram<> gram(n);
///   while (...) gram.add(rows);                          // p x n
///   auto summary = rank_summary_of_gram<float>(gram.lower(), m);
///
/// A third of the cost of TallTriangle; singular values below 1e-8 of the largest are lost in it.

#include "lorma/analysis/certain_rank.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// Rows of a tall matrix that products take at a good rate.
inline constexpr Index rows_at_a_time = 1024;

/// A template, so only callers pay its compile time; Real is double.
template <typename Real = double>
class TallGram {
 public:
  explicit TallGram(Index cols) : sum_(Matrix<Real>::Zero(cols, cols)) {}

  /// More rows of M. Cost p n^2.
  void add(const Matrix<Real>& rows) {
    detail::add_square(sum_, as_const(view_of(rows)).transposed());
  }

  /// The lower triangle of M^T M; zeros above. Not finite where M is not, or where its squares
  /// overflow.
  Matrix<Real>& lower() { return sum_; }

 private:
  Matrix<Real> sum_;
};

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
