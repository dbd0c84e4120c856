// SPDX-License-Identifier: Apache-2.0
// expect: the backend CuBlas converts no operand but a weight of half or bfloat16
#include <lorma/cublas.hpp>

#ifdef LORMA_FAIL
using Input = lorma::DeviceMatrix<Eigen::half>;
#else
using Input = lorma::DeviceMatrix<float>;
#endif

void use(const lorma::Adapter<float, lorma::Identity, lorma::Auto, lorma::Pre, lorma::CuBlas>& a,
         const lorma::DeviceMatrix<Eigen::half>& W0, const Input& X, lorma::DeviceMatrix<float>& H,
         lorma::DeviceWorkspace& workspace) {
  a.forward_into(H, W0, X, workspace);
}
