// SPDX-License-Identifier: Apache-2.0
// expect: Backend must satisfy BackendPolicy
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Backend = int;
#else
using Backend = lorma::EigenCpu;
#endif

using Adapter = lorma::Adapter<float, lorma::Identity, lorma::Auto, lorma::Pre, Backend>;

Eigen::MatrixXf run(const Adapter& a, const Eigen::MatrixXf& W, const Eigen::MatrixXf& X) {
  return a.forward(W, X);
}
