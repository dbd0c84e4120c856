// SPDX-License-Identifier: Apache-2.0
// expect: an output must be writable
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Weight = const Eigen::MatrixXf;
#else
using Weight = Eigen::MatrixXf;
#endif

void run(const lorma::Adapter<float>& a, Weight& W) {
  a.merge_in_place(W);
}
