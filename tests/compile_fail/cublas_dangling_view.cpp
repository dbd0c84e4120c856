// SPDX-License-Identifier: Apache-2.0
// expect: an AdapterView over a temporary matrix would dangle
#include <lorma/cublas.hpp>

using View = lorma::AdapterView<float, lorma::Identity, lorma::Auto, lorma::Pre, lorma::CuBlas>;

View use(const lorma::DeviceMatrix<float>& B, const lorma::DeviceMatrix<float>& A) {
#ifdef LORMA_FAIL
  return View(lorma::DeviceMatrix<float>(B), A, 1.0F);
#else
  return View(B, lorma::device_view(A.context(), A.data(), A.rows(), A.cols()), 1.0F);
#endif
}
