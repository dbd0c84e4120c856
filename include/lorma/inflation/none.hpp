// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_INFLATION_NONE_HPP
#define LORMA_INFLATION_NONE_HPP

/// No inflation, the naive multiplier I(M) = M of rank r, for ablation. Starts as a projector.

#include <cmath>

#include "lorma/core/decompositions.hpp"
#include "lorma/core/random.hpp"
#include "lorma/inflation/inflation.hpp"

namespace lorma::inline LORMA_ABI {

struct None {
  static constexpr std::string_view name = "None";
  using Evaluations = EvaluationList<Factored, Dense>;
  static constexpr Index copies = 1;
  static constexpr bool starts_as_identity = false;
  static constexpr bool adds_identity = false;

  template <typename Backend, typename S>
  static MatrixView<S> inflate(typename Backend::Workspace&, const MatrixView<S>& T) {
    return T;
  }
  template <typename Backend, typename S>
  static MatrixView<S> deflate(typename Backend::Workspace&, const MatrixView<S>& T) {
    return T;
  }

  /// B ~ U(-1/sqrt(r), 1/sqrt(r)), A = pinv(B) (in double), both divided by sqrt(s).
  template <typename S, typename Urbg>
  static void initialize(const MatrixView<S>& B, const MatrixView<S>& A, S scale, Urbg& urbg) {
    fill_uniform(B, 1.0 / std::sqrt(static_cast<double>(B.cols)), urbg);
    Matrix<double> b(B.rows, B.cols);
    for (Index j = 0; j < B.cols; ++j) {
      for (Index i = 0; i < B.rows; ++i) b(i, j) = static_cast<double>(B(i, j));
    }
    const Matrix<double> pinv = detail::pseudo_inverse(b);
    const double root = std::sqrt(static_cast<double>(scale));
    for (Index j = 0; j < B.cols; ++j) {
      for (Index i = 0; i < B.rows; ++i) {
        B(i, j) = static_cast<S>(b(i, j) / root);
        A(j, i) = static_cast<S>(pinv(j, i) / root);
      }
    }
  }
};

static_assert(InflationPolicy<None>);

}  // namespace lorma::inline LORMA_ABI

#endif
