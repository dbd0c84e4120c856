// SPDX-License-Identifier: Apache-2.0
// expect: deflate(Workspace&, const MatrixView<S>&)
#include <lorma/lorma.hpp>

struct Mine {
  static constexpr std::string_view name = "Mine";
  using Evaluations = lorma::EvaluationList<lorma::Dense>;
  static constexpr lorma::Index copies = 1;
  static constexpr bool starts_as_identity = true;
  template <class B, class S>
  static lorma::MatrixView<S> inflate(typename B::Workspace&, const lorma::MatrixView<S>& T) {
    return T;
  }
#ifndef LORMA_FAIL
  template <class B, class S>
  static lorma::MatrixView<S> deflate(typename B::Workspace&, const lorma::MatrixView<S>& T) {
    return T;
  }
#endif
  template <class S, class Urbg>
  static void initialize(const lorma::MatrixView<S>&, const lorma::MatrixView<S>&, S, Urbg&) {}
};

Eigen::MatrixXf run(const Eigen::MatrixXf& W, const Eigen::MatrixXf& X) {
  const lorma::Adapter<float, Mine> adapter(W.rows(), 2, 2.0F);
  return adapter.forward(W, X);
}
