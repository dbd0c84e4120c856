// SPDX-License-Identifier: Apache-2.0
// One layer, every peer, every shape: bench_layers --benchmark_filter='training/.*b:256/r:8'

#include <benchmark/benchmark.h>

#include <algorithm>
#include <iostream>
#include <set>
#include <tuple>

#include "peers.hpp"
#include "threads.hpp"

namespace {

using bench::Index;
using bench::Peer;
using bench::Sizes;

struct Job {
  const char* name;
  void (*Peer::*run)(benchmark::State&, Sizes);
};

/// Widths of RoBERTa base and large (GPT-2 medium), Gemma 2B, LLaMA 3 8B.
std::vector<Sizes> cases() {
  std::vector<Sizes> all;
  for (const auto& sizes : {std::pair<Index, Index>{768, 768},
                            {1024, 1024},
                            {2048, 2048},
                            {4096, 4096},
                            {1024, 4096},
                            {2048, 16384},
                            {16384, 2048},
                            {4096, 14336},
                            {14336, 4096}}) {
    const Index d = std::get<0>(sizes);
    const Index k = std::get<1>(sizes);
    all.push_back({d, k, 256, 8});
  }
  for (const Index n : {256, 384, 512, 1536, 3072}) all.push_back({n, n, 256, 8});
  for (const Index r : {1, 4, 8, 16, 32, 64}) all.push_back({1024, 1024, 256, r});
  for (const Index b : {1, 32, 2048}) all.push_back({1024, 1024, b, 8});
  for (const Index b : {1, 32}) all.push_back({4096, 4096, b, 8});
  std::set<std::tuple<Index, Index, Index, Index>> seen;
  std::vector<Sizes> once;
  for (const Sizes& s : all) {
    if (seen.insert({s.d, s.k, s.b, s.r}).second) once.push_back(s);
  }
  return once;
}

void add(const Peer& peer) {
  constexpr Job jobs[] = {{"forward", &Peer::forward},
                          {"training", &Peer::training},
                          {"merge", &Peer::merge},
                          {"unmerge", &Peer::unmerge}};
  for (const Sizes& s : cases()) {
    if (s.d > peer.largest) continue;
    for (const Job& job : jobs) {
      const auto run = peer.*job.run;
      if (run == nullptr) continue;
      const bool weight_alone = job.run == &Peer::merge || job.run == &Peer::unmerge;
      if (weight_alone && s.b != 256) continue;
      if (job.run == &Peer::unmerge && s.d > peer.largest_unmerge) continue;
      const std::string name = peer.name + "/" + job.name + "/d:" + std::to_string(s.d) +
                               "/k:" + std::to_string(s.k) + "/b:" + std::to_string(s.b) +
                               "/r:" + std::to_string(s.r);
      benchmark::RegisterBenchmark(name.c_str(),
                                   [run, s](benchmark::State& state) { run(state, s); })
          ->Unit(benchmark::kMillisecond)
          ->UseRealTime();
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  for (const auto& peers :
       {bench::frozen_peers(), bench::lorma_peers(), bench::published_eigen_peers(),
#ifdef LORMA_BENCH_TORCH
        bench::published_torch_peers(),
#endif
        std::vector<Peer>{}}) {
    for (const Peer& peer : peers) add(peer);
  }
  bench::use_threads_of_environment();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
