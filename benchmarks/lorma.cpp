// SPDX-License-Identifier: Apache-2.0
// Ours, as a user writes it.

#include <lorma/lorma.hpp>

#include "peers.hpp"

namespace bench {
namespace {

template <typename Adapter>
Adapter random_adapter(const Sizes& s) {
  Adapter adapter(s.d, s.r, float(s.r));
  // Small, so that P stays far from singular and merging in place again and again stays finite.
  adapter.A() = Matrix::Random(s.r, s.d) / float(s.d);
  adapter.B() = Matrix::Random(s.d, s.r);
  if constexpr (!std::is_same_v<typename Adapter::Inflation, lorma::Identity>) {
    adapter.A().row(0).setZero();
    adapter.A()(0, 0) = 1.0F;
    adapter.B().col(0).setOnes();
  }
  return adapter;
}

template <typename Adapter>
void forward(benchmark::State& state, Sizes s) {
  const Layer l(s);
  const auto adapter = random_adapter<Adapter>(s);
  typename Adapter::Workspace workspace;
  Matrix H(s.d, s.b);
  for (auto _ : state) {
    adapter.forward_into(H, l.W0, l.X, workspace);
    benchmark::DoNotOptimize(H.data());
  }
  state.counters["scratch_bytes"] = double(workspace.bytes());
}

template <typename Adapter>
void training(benchmark::State& state, Sizes s) {
  const Layer l(s);
  const auto adapter = random_adapter<Adapter>(s);
  lorma::Tape<Adapter> tape;
  typename Adapter::Gradients gradients;
  Matrix H(s.d, s.b);
  for (auto _ : state) {
    adapter.forward_into(H, l.W0, l.X, tape);
    adapter.backward_into(gradients, l.W0, l.G, tape);
    benchmark::DoNotOptimize(gradients.dX.data());
  }
  state.counters["scratch_bytes"] = double(tape.bytes());
}

template <typename Adapter>
void merge(benchmark::State& state, Sizes s) {
  const auto adapter = random_adapter<Adapter>(s);
  const Matrix W0 = Matrix::Random(s.d, s.k);
  Matrix W(s.d, s.k);
  typename Adapter::Workspace workspace;
  for (auto _ : state) {
    adapter.merge_into(W, W0, workspace);
    benchmark::DoNotOptimize(W.data());
  }
  state.counters["scratch_bytes"] = double(workspace.bytes());
}

template <typename Adapter>
void unmerge(benchmark::State& state, Sizes s) {
  const auto adapter = random_adapter<Adapter>(s);
  Matrix W = Matrix::Random(s.d, s.k);
  for (auto _ : state) {
    adapter.unmerge_in_place(W);
    benchmark::DoNotOptimize(W.data());
    state.PauseTiming();
    adapter.merge_in_place(W);
    state.ResumeTiming();
  }
}

template <typename Adapter>
Peer peer(std::string name, Index largest_unmerge) {
  return {.name = std::move(name),
          .forward = forward<Adapter>,
          .training = training<Adapter>,
          .merge = merge<Adapter>,
          .unmerge = unmerge<Adapter>,
          .largest_unmerge = largest_unmerge};
}

}  // namespace

std::vector<Peer> lorma_peers() {
  return {peer<lorma::Adapter<float, lorma::Identity>>("LoRMA+", 1 << 20),
          peer<lorma::Adapter<float, lorma::CyclicPermutation>>("LoRMA_pi", 4096)};
}

}  // namespace bench
