// SPDX-License-Identifier: Apache-2.0
// Every legal route of Auto, timed, with the cost model's estimate and choice beside it: how often
// the fastest is taken, and what is lost when it is not.

#include <benchmark/benchmark.h>

#include <lorma/lorma.hpp>

#include "peers.hpp"
#include "threads.hpp"

namespace {

using bench::Index;
using bench::Layer;
using bench::Matrix;
using bench::Sizes;

template <typename Inflation, typename Order>
void training(benchmark::State& state, Sizes s, double estimate, bool chosen,
              const lorma::Work& work) {
  using Adapter = lorma::Adapter<float, Inflation, Order>;
  const Layer l(s);
  Adapter adapter(s.d, s.r, float(s.r));
  adapter.A() = Matrix::Random(s.r, s.d);
  adapter.B() = Matrix::Random(s.d, s.r);
  lorma::Tape<Adapter> tape;
  typename Adapter::Gradients gradients;
  Matrix H(s.d, s.b);
  for (auto _ : state) {
    adapter.forward_into(H, l.W0, l.X, tape);
    adapter.backward_into(gradients, l.W0, l.G, tape);
    benchmark::DoNotOptimize(gradients.dX.data());
  }
  state.counters["estimate"] = estimate;
  state.counters["chosen"] = chosen ? 1 : 0;
  state.counters["product"] = work.product;
  state.counters["thin"] = work.thin;
  state.counters["transform"] = work.transform;
  state.counters["bytes"] = work.bytes;
}

template <typename Inflation, lorma::Where Place, typename E>
void add(const Sizes& s, const lorma::RouteEstimate& line, lorma::StaticRoute<Place, E>) {
  using Order = std::conditional_t<Place == lorma::Where::Activation, lorma::ActivationFirst<E>,
                                   lorma::WeightFirst<E>>;
  const std::string name = "auto/" + std::string(Inflation::name) + "/" + line.name +
                           "/d:" + std::to_string(s.d) + "/k:" + std::to_string(s.k) +
                           "/b:" + std::to_string(s.b) + "/r:" + std::to_string(s.r);
  benchmark::RegisterBenchmark(name.c_str(),
                               [s, line](benchmark::State& state) {
                                 training<Inflation, Order>(state, s, line.seconds, line.chosen,
                                                            line.work);
                               })
      ->Unit(benchmark::kMillisecond)
      ->UseRealTime();
}

template <typename Inflation>
void add_all() {
  using Routes = lorma::RoutesFor<lorma::Auto, Inflation>;
  for (const auto& sizes :
       {std::pair<Index, Index>{256, 256}, {768, 768}, {2048, 2048}, {768, 3072}, {3072, 768}}) {
    const Index d = std::get<0>(sizes);
    const Index k = std::get<1>(sizes);
    for (const Index b : {1, 32, 512, 4096}) {
      for (const Index r : {1, 8, 64}) {
        const Sizes s{d, k, b, r};
        const auto lines = lorma::Adapter<float, Inflation>::explain(
            {.d = d, .k = k, .b = b, .r = r}, lorma::Task::Training);
        for (std::size_t i = 0; i < lines.size(); ++i) {
          lorma::visit_route(Routes{}, i, [&](auto route) { add<Inflation>(s, lines[i], route); });
        }
      }
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  add_all<lorma::Identity>();
  add_all<lorma::CyclicPermutation>();
  bench::use_threads_of_environment();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
