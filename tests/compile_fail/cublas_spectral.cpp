// SPDX-License-Identifier: Apache-2.0
// expect: CuBlas, whose programs include lorma/cublas.hpp
#include <lorma/cublas.hpp>

/// Nobody has written Spectral for it, as it is with CuBlas where lorma/cublas.hpp is not included.
struct AnotherDevice : lorma::CuBlas {};

#ifdef LORMA_FAIL
using Backend = AnotherDevice;
#else
using Backend = lorma::CuBlas;
#endif
using A = lorma::Adapter<float, lorma::CyclicPermutation, lorma::Auto, lorma::Pre, Backend>;

void use(const A& a, const lorma::DeviceMatrix<float>& W0, const lorma::DeviceMatrix<float>& X,
         lorma::DeviceMatrix<float>& H, lorma::DeviceWorkspace& workspace) {
  a.forward_into(H, W0, X, workspace);
}
