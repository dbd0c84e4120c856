// SPDX-License-Identifier: Apache-2.0
// The frozen layer, LoRA and the algorithm of the published layers on PyTorch's C++ library, with
// its own autograd.

#include <torch/torch.h>

#include "peers.hpp"

namespace bench {
namespace {

using torch::Tensor;

enum class Kind { frozen, lora, plus, turned };

struct TorchLayer {
  TorchLayer(Kind kind_, const Sizes& s)
      : kind(kind_),
        W0(torch::randn({s.d, s.k})),
        X(torch::randn({s.b, s.k})),
        G(torch::randn({s.b, s.d})) {
    const auto grad = torch::TensorOptions().requires_grad(true);
    const Index n = kind == Kind::lora ? s.k : s.d;
    A = torch::randn({s.r, n}, grad);
    B = torch::randn({s.d, s.r}, grad);
    if (kind == Kind::plus) identity = torch::eye(s.d);
    if (kind == Kind::turned) {
      const Tensor i = torch::arange(s.d);
      from = torch::remainder(i.unsqueeze(0) - i.unsqueeze(1), s.d);
    }
  }

  Tensor weight() const {
    if (kind == Kind::frozen) return W0;
    const Tensor M = torch::matmul(B, A);
    if (kind == Kind::plus) return torch::matmul(M + identity, W0);
    return torch::matmul(torch::gather(M, 1, from), W0);
  }

  Tensor forward() const {
    if (kind != Kind::lora) return torch::matmul(X, weight().t());
    return torch::matmul(X, W0.t()) + torch::matmul(torch::matmul(X, A.t()), B.t());
  }

  Kind kind;
  Tensor W0, X, G, A, B, identity, from;
};

template <Kind K>
void forward(benchmark::State& state, Sizes s) {
  const torch::NoGradGuard no_gradients;
  const TorchLayer layer(K, s);
  for (auto _ : state) benchmark::DoNotOptimize(layer.forward().data_ptr());
}

template <Kind K>
void training(benchmark::State& state, Sizes s) {
  TorchLayer layer(K, s);
  layer.X.requires_grad_(true);
  for (auto _ : state) {
    layer.X.mutable_grad() = Tensor();
    layer.A.mutable_grad() = Tensor();
    layer.B.mutable_grad() = Tensor();
    layer.forward().backward(layer.G);
    benchmark::DoNotOptimize(layer.X.grad().data_ptr());
  }
}

template <Kind K>
void merge(benchmark::State& state, Sizes s) {
  const torch::NoGradGuard no_gradients;
  const TorchLayer layer(K, s);
  for (auto _ : state) benchmark::DoNotOptimize(layer.weight().data_ptr());
}

}  // namespace

std::vector<Peer> published_torch_peers() {
  return {
      {.name = "frozen (PyTorch)",
       .forward = forward<Kind::frozen>,
       .training = training<Kind::frozen>},
      {.name = "LoRA (PyTorch)", .forward = forward<Kind::lora>, .training = training<Kind::lora>},
      {.name = "published LoRMA+ (PyTorch)",
       .forward = forward<Kind::plus>,
       .training = training<Kind::plus>,
       .merge = merge<Kind::plus>,
       .largest = 4096},
      {.name = "published LoRMA_pi (PyTorch)",
       .forward = forward<Kind::turned>,
       .training = training<Kind::turned>,
       .merge = merge<Kind::turned>,
       .largest = 4096}};
}

}  // namespace bench
