// SPDX-License-Identifier: Apache-2.0
// expect: CuBlas, whose programs include lorma/cublas.hpp
#ifdef LORMA_FAIL
#include <lorma/backend/cublas.hpp>
#include <lorma/lorma.hpp>
#else
#include <lorma/cublas.hpp>
#endif

using A = lorma::Adapter<float, lorma::CyclicPermutation, lorma::Auto, lorma::Pre, lorma::CuBlas>;

void use(const A& a, const lorma::DeviceMatrix<float>& W0, const lorma::DeviceMatrix<float>& X,
         lorma::DeviceMatrix<float>& H, lorma::DeviceWorkspace& workspace) {
  a.forward_into(H, W0, X, workspace);
}
