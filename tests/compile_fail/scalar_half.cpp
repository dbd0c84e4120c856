// SPDX-License-Identifier: Apache-2.0
// expect: Scalar must be float or double
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Scalar = Eigen::half;
#else
using Scalar = float;
#endif

using Matrix = lorma::Matrix<Scalar>;

Matrix run(const lorma::Adapter<Scalar>& a, const Matrix& W, const Matrix& X) {
  return a.forward(W, X);
}
