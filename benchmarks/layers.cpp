// SPDX-License-Identifier: Apache-2.0
// One layer, forward and backward, beside the frozen layer alone and LoRA, in one process: square
// layers of width n, float, b = 256 tokens, rank 8.

#include <benchmark/benchmark.h>

#include <lorma/lorma.hpp>

namespace {

using lorma::Index;
using Matrix = lorma::Matrix<float>;

constexpr Index tokens = 256;
constexpr Index rank = 8;

struct Layer {
  explicit Layer(Index n)
      : W0(Matrix::Random(n, n)), X(Matrix::Random(n, tokens)), G(Matrix::Random(n, tokens)) {}
  Matrix W0, X, G;
};

void Frozen(benchmark::State& state) {
  const Layer l(state.range(0));
  Matrix H(l.G.rows(), tokens);
  Matrix dX(l.X.rows(), tokens);
  for (auto _ : state) {
    H.noalias() = l.W0 * l.X;
    dX.noalias() = l.W0.transpose() * l.G;
    benchmark::DoNotOptimize(H.data());
    benchmark::DoNotOptimize(dX.data());
  }
}

void LoRA(benchmark::State& state) {
  const Index n = state.range(0);
  const Layer l(n);
  const Matrix A = Matrix::Random(rank, n);
  const Matrix B = Matrix::Random(n, rank);
  Matrix H(n, tokens), dX(n, tokens), dA(rank, n), dB(n, rank), U(rank, tokens), V(rank, tokens);
  for (auto _ : state) {
    H.noalias() = l.W0 * l.X;
    U.noalias() = A * l.X;
    H.noalias() += B * U;
    dX.noalias() = l.W0.transpose() * l.G;
    V.noalias() = B.transpose() * l.G;
    dX.noalias() += A.transpose() * V;
    dA.noalias() = V * l.X.transpose();
    dB.noalias() = l.G * U.transpose();
    benchmark::DoNotOptimize(dX.data());
  }
}

template <typename Adapter>
void Adapted(benchmark::State& state) {
  const Index n = state.range(0);
  const Layer l(n);
  Adapter adapter(n, rank, 8.0F);
  adapter.A().setRandom();
  adapter.B().setRandom();
  lorma::Tape<Adapter> tape;
  typename Adapter::Gradients g;
  Matrix H(n, tokens);
  for (auto _ : state) {
    adapter.forward_into(H, l.W0, l.X, tape);
    adapter.backward_into(g, l.W0, l.G, tape);
    benchmark::DoNotOptimize(g.dX.data());
  }
}

using Plus = lorma::Adapter<float, lorma::Identity>;
using Pi = lorma::Adapter<float, lorma::CyclicPermutation, lorma::ActivationFirst<lorma::Spectral>>;
using PiDense =
    lorma::Adapter<float, lorma::CyclicPermutation, lorma::ActivationFirst<lorma::Dense>>;
using PlusWeightFirst = lorma::Adapter<float, lorma::Identity, lorma::WeightFirst<lorma::Dense>>;

#define LORMA_WIDTHS ->Arg(768)->Arg(1024)->Arg(2048)->Arg(4096)->Unit(benchmark::kMillisecond)
BENCHMARK(Frozen) LORMA_WIDTHS;
BENCHMARK(LoRA) LORMA_WIDTHS;
BENCHMARK(Adapted<Plus>)->Name("LoRMA+") LORMA_WIDTHS;
BENCHMARK(Adapted<Pi>)->Name("LoRMA_pi") LORMA_WIDTHS;
BENCHMARK(Adapted<PiDense>)->Name("LoRMA_pi/dense") LORMA_WIDTHS;
BENCHMARK(Adapted<PlusWeightFirst>)->Name("LoRMA+/weight_first") LORMA_WIDTHS;

}  // namespace
