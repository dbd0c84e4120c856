// SPDX-License-Identifier: Apache-2.0
// expect: Side must be Pre (W = P W0) or Post (W = W0 P)
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
struct Side {};
#else
using Side = lorma::Pre;
#endif

using Adapter = lorma::Adapter<float, lorma::Identity, lorma::Auto, Side>;

Eigen::MatrixXf run(const Adapter& a, const Eigen::MatrixXf& W, const Eigen::MatrixXf& X) {
  return a.forward(W, X);
}
