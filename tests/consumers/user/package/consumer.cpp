// SPDX-License-Identifier: Apache-2.0
#include <iostream>
#include <lorma/lorma.hpp>
#include <random>

int main() {
  const Eigen::MatrixXd W0 = Eigen::MatrixXd::Random(12, 8);
  const Eigen::MatrixXd X = Eigen::MatrixXd::Random(8, 5);
  lorma::Adapter<double, lorma::CyclicPermutation> adapter(12, 2, 2.0);
  std::mt19937_64 urbg(1);
  adapter.initialize(urbg);
  const bool same = (adapter.forward(W0, X) - W0 * X).norm() < 1e-12;
  std::cout << "lorma " << LORMA_VERSION_STRING << (same ? " works" : " fails") << '\n';
  return same ? 0 : 1;
}
