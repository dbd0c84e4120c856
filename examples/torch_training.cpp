// SPDX-License-Identifier: Apache-2.0
// LoRMA on libtorch: two frozen layers learn to undo a turn of their outputs, by their factors
// alone.
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <torch/utils.h>

#include <iostream>

#include "lorma/torch/linear_module.hpp"

struct Network : torch::nn::Module {
  explicit Network(const std::string& inflation) {
    const lorma::torch::ModuleOptions options{.rank = 4, .alpha = 8, .inflation = inflation};
    first =
        register_module("first", lorma::torch::Linear(frozen(64, 32), torch::zeros({64}), options));
    second =
        register_module("second", lorma::torch::Linear(frozen(16, 64), torch::Tensor(), options));
  }
  static torch::Tensor frozen(std::int64_t outputs, std::int64_t inputs) {
    return torch::randn({outputs, inputs}) / std::sqrt(static_cast<double>(inputs));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return second->forward(torch::tanh(first->forward(x)));
  }
  lorma::torch::Linear first{nullptr};
  lorma::torch::Linear second{nullptr};
};

int main() {
  bool good = true;
  for (const char* inflation : {"Identity", "CyclicPermutation"}) {
    torch::manual_seed(1);
    Network network(inflation);
    const torch::Tensor x = torch::randn({128, 32});
    const torch::Tensor target = network.forward(x).detach().roll(1, 1);
    torch::optim::Adam adam(network.parameters(), 1e-2);
    double first = 0;
    double last = 0;
    for (int step = 0; step < 200; ++step) {
      adam.zero_grad();
      const torch::Tensor loss = (network.forward(x) - target).square().mean();
      loss.backward();
      adam.step();
      last = loss.item<double>();
      if (step == 0) first = last;
    }
    // The merged weights are plain layers that compute the same.
    const torch::NoGradGuard no_gradients;
    const torch::Tensor merged = torch::linear(
        torch::tanh(torch::linear(x, network.first->merged_weight(), network.first->bias)),
        network.second->merged_weight());
    const double difference = (merged - network.forward(x)).abs().max().item<double>();
    std::cout << inflation << ": loss " << first << " -> " << last << ", merged differs by "
              << difference << '\n';
    good = good && last < 0.5 * first && difference < 1e-4;
  }
  return good ? 0 : 1;
}
