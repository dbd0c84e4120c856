// SPDX-License-Identifier: Apache-2.0
// Inflations of one's own, trained for a few steps towards another weight, merged and taken out.
#include <iostream>
#include <random>

#include "block_turn.hpp"
#include "scaled_identity.hpp"

template <typename Inflation>
bool train() {
  using Adapter = lorma::Adapter<double, Inflation>;
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
  Eigen::MatrixXd W = adapter.merge(W0);
  adapter.unmerge_in_place(W);
  const double change = (W - W0).norm() / W0.norm();
  std::cout << Inflation::name << ": loss " << first << " -> " << last << ", rank of I(BA) "
            << lorma::analysis::inflated_rank(adapter) << " of 24, merged and unmerged to "
            << change << '\n';
  return last < first && change < 1e-10;
}

int main() {
  const bool turned = train<lorma_examples::BlockTurn<8>>();
  const bool scaled = train<lorma_examples::ScaledIdentity<90>>();
  return turned && scaled ? 0 : 1;
}
