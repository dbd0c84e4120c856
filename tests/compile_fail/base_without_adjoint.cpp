// SPDX-License-Identifier: Apache-2.0
// expect: a base that is only an operator needs `auto apply_adjoint(const auto& G)
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
struct Base {
  lorma::Index rows() const;
  lorma::Index cols() const;
  Eigen::MatrixXf apply(const Eigen::MatrixXf& X) const;
};
#else
struct Base {
  lorma::Index rows() const;
  lorma::Index cols() const;
  Eigen::MatrixXf apply(const Eigen::MatrixXf& X) const;
  Eigen::MatrixXf apply_adjoint(const Eigen::MatrixXf& G) const;
};
#endif

Eigen::MatrixXf run(const lorma::Adapter<float>& a, Base& W, const Eigen::MatrixXf& X) {
  return a.forward(W, X);
}
