// SPDX-License-Identifier: Apache-2.0
// expect: the Inflation needs `static constexpr bool starts_as_identity`
#include <lorma/lorma.hpp>

struct Mine {
  static constexpr std::string_view name = "Mine";
  using Evaluations = lorma::EvaluationList<lorma::Dense>;
  static constexpr lorma::Index copies = 1;
#ifndef LORMA_FAIL
  static constexpr bool starts_as_identity = true;
#endif
  template <class B, class S>
  static lorma::MatrixView<S> inflate(typename B::Workspace&, const lorma::MatrixView<S>& T) {
    return T;
  }
  template <class B, class S>
  static lorma::MatrixView<S> deflate(typename B::Workspace&, const lorma::MatrixView<S>& T) {
    return T;
  }
  template <class S, class Urbg>
  static void initialize(const lorma::MatrixView<S>&, const lorma::MatrixView<S>&, S, Urbg&) {}
};

Eigen::MatrixXf run(const Eigen::MatrixXf& W, const Eigen::MatrixXf& X) {
  const lorma::Adapter<float, Mine> adapter(W.rows(), 2, 2.0F);
  return adapter.forward(W, X);
}
