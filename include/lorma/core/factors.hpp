// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_FACTORS_HPP
#define LORMA_CORE_FACTORS_HPP

/// The low-rank pair: M = s B A with B (n x r), A (r x n), s = alpha / r.

#include "lorma/core/error.hpp"
#include "lorma/core/view.hpp"

namespace lorma::inline LORMA_ABI {

/// Non-owning factors: what an AdapterView refers to, behind the door (core/door.hpp).
template <ElementScalar S>
struct Factors {
  using Scalar = S;

  MatrixView<const S> B;     ///< n x r
  MatrixView<const S> A;     ///< r x n
  Accumulator<S> scale = 1;  ///< s = alpha / r
  /// Identity of the context they belong to, on a backend with several; null: not known.
  const void* context = nullptr;

  Index dim() const { return B.rows; }
  Index rank() const { return B.cols; }
};

namespace detail {

/// Throws ShapeError unless B is n x r and A r x n for the same n, r >= 1.
template <typename S>
void check_factors(std::string_view function, const Factors<S>& f) {
  if (f.dim() >= 1 && f.rank() >= 1 && f.A.rows == f.rank() && f.A.cols == f.dim()) return;
  throw ShapeError("lorma::" + std::string(function) +
                   ": expected factors B (n x r) and A (r x n) with n, r >= 1, got B " +
                   shape(f.B.rows, f.B.cols) + " and A " + shape(f.A.rows, f.A.cols));
}

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI

#endif
