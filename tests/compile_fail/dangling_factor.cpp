// SPDX-License-Identifier: Apache-2.0
// expect: an AdapterView over a temporary matrix would dangle
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Made = Eigen::MatrixXf;
#else
using Made = const Eigen::MatrixXf&;
#endif

Made make();
Eigen::MatrixXf run(const Eigen::MatrixXf& A, const Eigen::MatrixXf& W, const Eigen::MatrixXf& X) {
  return lorma::AdapterView<float>(make(), A, 1.0F).forward(W, X);
}
