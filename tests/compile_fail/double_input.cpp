// SPDX-License-Identifier: Apache-2.0
// expect: a matrix must have the adapter's Scalar or one that converts to it exactly
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Input = Eigen::MatrixXd;
#else
using Input = Eigen::MatrixXf;
#endif

Eigen::MatrixXf run(const lorma::Adapter<float>& a, const Eigen::MatrixXf& W, const Input& X) {
  return a.forward(W, X);
}
