// SPDX-License-Identifier: Apache-2.0
// The README's example: adapt, run, go back, merge.
#include <lorma/lorma.hpp>
#include <random>

int main() {
  const Eigen::MatrixXf W0 = Eigen::MatrixXf::Random(768, 768),
                        X = Eigen::MatrixXf::Random(768, 32);
  lorma::Adapter<float, lorma::CyclicPermutation> adapter(768, 8, 16.0F);  // n, rank, alpha
  std::mt19937_64 urbg(42);
  adapter.initialize(urbg);  // the identity map
  lorma::Tape<float> tape;
  const Eigen::MatrixXf H = adapter.forward(W0, X, tape);
  const auto g = adapter.backward(W0, H, tape);  // g.dX, g.dA, g.dB
  const Eigen::MatrixXf W = adapter.merge(W0);   // W X equals H
  return (W * X - H).norm() < 1e-3F * H.norm() && g.dA.rows() == 8 ? 0 : 1;
}
