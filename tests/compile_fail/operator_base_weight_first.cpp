// SPDX-License-Identifier: Apache-2.0
// expect: WeightFirst needs the entries of W0
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Order = lorma::WeightFirst<>;
#else
using Order = lorma::ActivationFirst<>;
#endif

struct Base {
  lorma::Index rows() const { return 4; }
  lorma::Index cols() const { return 4; }
  Eigen::MatrixXf apply(const Eigen::MatrixXf& x) const { return x; }
  Eigen::MatrixXf apply_adjoint(const Eigen::MatrixXf& g) const { return g; }
};
Eigen::MatrixXf run(const lorma::Adapter<float, lorma::Identity, Order>& a,
                    const Eigen::MatrixXf& X) {
  return a.forward(Base{}, X);
}
