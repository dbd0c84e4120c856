// SPDX-License-Identifier: Apache-2.0
// expect: a matrix must have the adapter's Scalar or one that converts to it exactly
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Weight = Eigen::MatrixXd;
#else
using Weight = Eigen::MatrixXf;
#endif

Eigen::MatrixXf run(const lorma::Adapter<float>& a, const Weight& W, const Eigen::MatrixXf& X) {
  return a.forward(W, X);
}
