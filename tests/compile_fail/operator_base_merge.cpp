// SPDX-License-Identifier: Apache-2.0
// expect: merge and unmerge need the entries of W0
#include <lorma/lorma.hpp>

struct Base {
  lorma::Index rows() const { return 4; }
  lorma::Index cols() const { return 4; }
  Eigen::MatrixXf apply(const Eigen::MatrixXf& x) const { return x; }
  Eigen::MatrixXf apply_adjoint(const Eigen::MatrixXf& g) const { return g; }
};

#ifdef LORMA_FAIL
using Weight = Base;
#else
using Weight = Eigen::MatrixXf;
#endif

void run(const lorma::Adapter<float>& a, const Weight& W) {
  a.merge(W);
}
