// SPDX-License-Identifier: Apache-2.0
// expect: a view over a temporary matrix would dangle
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Made = Eigen::MatrixXf;
#else
using Made = const Eigen::MatrixXf&;
#endif

Made make();
lorma::MatrixView<const float> run() {
  return lorma::view_of(make());
}
