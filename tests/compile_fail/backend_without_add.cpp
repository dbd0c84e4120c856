// SPDX-License-Identifier: Apache-2.0
// expect: the Backend needs `static void add(Workspace&, from, to)`
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
struct Backend : lorma::EigenCpu {
 private:
  static void add();
};
#else
struct Backend : lorma::EigenCpu {};
#endif

using Adapter = lorma::Adapter<float, lorma::Identity, lorma::Auto, lorma::Pre, Backend>;

Eigen::MatrixXf run(const Adapter& a, const Eigen::MatrixXf& W, const Eigen::MatrixXf& X) {
  return a.forward(W, X);
}
