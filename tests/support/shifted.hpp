// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_SHIFTED_HPP
#define LORMA_TESTS_SHIFTED_HPP

#include <cmath>
#include <lorma/core/random.hpp>
#include <lorma/inflation/inflation.hpp>

namespace lorma_tests {

/// A user's own c I + M: nothing of the library knows its name.
template <int c>
struct Shifted {
  static constexpr std::string_view name = "Shifted";
  using Evaluations = lorma::EvaluationList<lorma::Factored, lorma::Dense>;
  static constexpr lorma::Index copies = 1;
  static constexpr bool starts_as_identity = c == 1;
  static constexpr int adds_identity = c;

  template <typename Backend, typename S>
  static lorma::MatrixView<S> inflate(typename Backend::Workspace&, const lorma::MatrixView<S>& T) {
    for (lorma::Index i = 0; i < T.rows; ++i) T(i, i) += S(c);
    return T;
  }
  template <typename Backend, typename S>
  static lorma::MatrixView<S> deflate(typename Backend::Workspace&, const lorma::MatrixView<S>& T) {
    return T;
  }
  template <typename S, typename Urbg>
  static void initialize(const lorma::MatrixView<S>& B, const lorma::MatrixView<S>& A, S,
                         Urbg& urbg) {
    lorma::fill_uniform(A, 1.0 / std::sqrt(static_cast<double>(B.rows)), urbg);
  }
};

}  // namespace lorma_tests

#endif
