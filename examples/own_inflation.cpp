// SPDX-License-Identifier: Apache-2.0
// An inflation of one's own (block_turn.hpp) trained for a few steps towards another weight.
#include <iostream>
#include <random>

#include "block_turn.hpp"

int main() {
  using Adapter = lorma::Adapter<double, lorma_examples::BlockTurn<8>>;
  const Eigen::MatrixXd W0 = Eigen::MatrixXd::Random(24, 16);
  const Eigen::MatrixXd target = W0 + 0.1 * Eigen::MatrixXd::Random(24, 16);
  const Eigen::MatrixXd X = Eigen::MatrixXd::Random(16, 64);
  Adapter adapter(24, 4, 4.0);
  std::mt19937_64 urbg(1);
  adapter.initialize(urbg);
  lorma::Tape<Adapter> tape;
  double first = 0.0;
  double last = 0.0;
  for (int step = 0; step < 200; ++step) {
    const Eigen::MatrixXd error = adapter.forward(W0, X, tape) - target * X;
    last = error.squaredNorm() / 64.0;
    if (step == 0) first = last;
    const auto g = adapter.backward(W0, error / 64.0, tape);
    adapter.A() -= 0.02 * g.dA;
    adapter.B() -= 0.02 * g.dB;
  }
  std::cout << "loss " << first << " -> " << last << ", rank of I(BA) "
            << lorma::analysis::inflated_rank(adapter) << " of 24\n";
  return last < first ? 0 : 1;
}
