// SPDX-License-Identifier: Apache-2.0
// expect: scratch must be the Workspace of this Backend, or a Tape
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Scratch = lorma::Tape<double>;
#else
using Scratch = lorma::Tape<float>;
#endif

void run(const lorma::Adapter<float>& a, Eigen::MatrixXf& H, const Eigen::MatrixXf& W,
         const Eigen::MatrixXf& X, Scratch& scratch) {
  a.forward_into(H, W, X, scratch);
}
