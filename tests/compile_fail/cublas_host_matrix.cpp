// SPDX-License-Identifier: Apache-2.0
// expect: the backend CuBlas takes lorma::DeviceMatrix or lorma::DeviceView
#include <lorma/backend/cublas.hpp>
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Input = lorma::Matrix<float>;
#else
using Input = lorma::DeviceMatrix<float>;
#endif

void use(const lorma::Adapter<float, lorma::Identity, lorma::Auto, lorma::Pre, lorma::CuBlas>& a,
         const lorma::DeviceMatrix<float>& W0, const Input& X, lorma::DeviceMatrix<float>& H,
         lorma::DeviceWorkspace& workspace) {
  a.forward_into(H, W0, X, workspace);
}
