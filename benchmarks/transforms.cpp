// SPDX-License-Identifier: Apache-2.0
// Real transforms of many columns: lorma's engine against FFTW's best for the same job (real to
// complex, batched, measured plans). Counted as 2.5 n log2 n flops a real transform, both ways.

#include <benchmark/benchmark.h>

#include <cmath>
#include <lorma/backend/eigen_cpu.hpp>
#include <lorma/core/workspace.hpp>
#include <lorma/fft/plan_cache.hpp>
#include <lorma/fft/signal.hpp>
#include <lorma/fft/transform.hpp>
#include <lorma/inflation/cyclic_permutation.hpp>
#include <lorma/operators/dense.hpp>
#include <lorma/operators/spectral.hpp>
#ifdef LORMA_BENCH_FFTW
#include <fftw3.h>
#endif

#include "threads.hpp"

namespace {

using lorma::Index;
using namespace lorma::detail;

constexpr Index columns = 64;

void count_flops(benchmark::State& state, Index n) {
  state.counters["flops"] =
      benchmark::Counter(2.0 * columns * 2.5 * double(n) * std::log2(double(n)),
                         benchmark::Counter::kIsIterationInvariantRate);
}

/// Columns to their spectra and back, two side by side.
void own(benchmark::State& state) {
  using C = ComplexLanes<float>;
  const Index n = state.range(0);
  const auto plan = shared_plan<FftPlan<float>>(n / 2);
  lorma::Workspace workspace;
  const auto frame = workspace.frame();
  const lorma::Matrix<float> x = lorma::Matrix<float>::Random(n, columns);
  lorma::Matrix<float> y(n, columns);
  const Index size = plan->spectrum_size();
  C* spectra = workspace.take_array<C>(size * columns / 2);
  C* scratch = workspace.take_array<C>(plan->scratch_size());
  float* memory = workspace.take_array<float>(2 * n);
  const Signal<float> signal{memory, memory + n};
  for (auto _ : state) {
    for (Index c = 0; c < columns; c += 2) {
      unzip<float>({x.col(c).data(), x.col(c + 1).data()}, {1, 1}, n, signal);
      C* spectrum = spectra + c / 2 * size;
      to_spectrum(
          *plan, signal, [spectrum](Index k, const C& v) { spectrum[k] = v; }, scratch);
    }
    for (Index c = 0; c < columns; c += 2) {
      const C* spectrum = spectra + c / 2 * size;
      from_spectrum(
          *plan, [spectrum](Index k) { return spectrum[k]; }, signal, scratch);
      zip<float>(signal, n, {1, 1}, {y.col(c).data(), y.col(c + 1).data()});
    }
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  count_flops(state, n);
}

#ifdef LORMA_BENCH_FFTW
void fftw(benchmark::State& state) {
  const int n = int(state.range(0));
  const int half = n / 2 + 1;
  float* x = fftwf_alloc_real(std::size_t(n) * columns);
  fftwf_complex* spectra = fftwf_alloc_complex(std::size_t(half) * columns);
  fftwf_plan there = fftwf_plan_many_dft_r2c(1, &n, int(columns), x, nullptr, 1, n, spectra,
                                             nullptr, 1, half, FFTW_MEASURE);
  fftwf_plan back = fftwf_plan_many_dft_c2r(1, &n, int(columns), spectra, nullptr, 1, half, x,
                                            nullptr, 1, n, FFTW_MEASURE);
  for (Index i = 0; i < n * columns; ++i) x[i] = float(i % 17) - 8.0F;
  for (auto _ : state) {
    fftwf_execute(there);
    fftwf_execute(back);
    benchmark::DoNotOptimize(x);
    benchmark::ClobberMemory();
    // Unscaled round trips would overflow.
    state.PauseTiming();
    for (Index i = 0; i < n * columns; ++i) x[i] = float(i % 17) - 8.0F;
    state.ResumeTiming();
  }
  count_flops(state, n);
  fftwf_destroy_plan(there);
  fftwf_destroy_plan(back);
  fftwf_free(x);
  fftwf_free(spectra);
}
#endif

/// Spectral against Dense in double; no time is meant.
template <typename S>
double spectral_error(Index n) {
  using lorma::view_of;
  const lorma::Matrix<double> B = lorma::Matrix<S>::Random(n, 8).template cast<double>();
  const lorma::Matrix<double> A = lorma::Matrix<S>::Random(8, n).template cast<double>();
  const lorma::Matrix<double> Y = lorma::Matrix<S>::Random(n, 4).template cast<double>();
  const lorma::Matrix<S> Bs = B.cast<S>();
  const lorma::Matrix<S> As = A.cast<S>();
  const lorma::Matrix<S> Ys = Y.cast<S>();
  lorma::Workspace workspace;
  const auto frame = workspace.frame();
  using lorma::CyclicPermutation;
  using lorma::EigenCpu;
  const lorma::Operator<lorma::Dense, CyclicPermutation, EigenCpu, double> dense(
      workspace, {view_of(B), view_of(A), 1.0});
  const lorma::Operator<lorma::Spectral, CyclicPermutation, EigenCpu, S> spectral(
      workspace, {view_of(Bs), view_of(As), S(1)});
  lorma::Matrix<double> expected(n, 4);
  lorma::Matrix<S> out(n, 4);
  dense.apply(workspace, view_of(Y), view_of(expected));
  spectral.apply(workspace, view_of(Ys), view_of(out));
  return (out.template cast<double>() - expected).norm() / expected.norm();
}

void accuracy(benchmark::State& state) {
  for (auto _ : state) {
    state.counters["error_float"] = spectral_error<float>(state.range(0));
    state.counters["error_double"] = spectral_error<double>(state.range(0));
  }
}

void widths(benchmark::internal::Benchmark* b) {
  for (const int n : {384, 768, 896, 1024, 2048, 3072, 4096, 5120, 8192, 14336}) b->Arg(n);
  b->ArgName("n")->Unit(benchmark::kMicrosecond)->UseRealTime();
}

BENCHMARK(accuracy)
    ->Iterations(1)
    ->ArgName("n")
    ->Arg(43)
    ->Arg(384)
    ->Arg(768)
    ->Arg(1000)
    ->Arg(1024)
    ->Arg(2048)
    ->Arg(4093)
    ->Arg(4096);
BENCHMARK(own)->Name("transform/lorma")->Apply(widths);
#ifdef LORMA_BENCH_FFTW
BENCHMARK(fftw)->Name("transform/FFTW")->Apply(widths);
#endif

}  // namespace

int main(int argc, char** argv) {
  bench::use_threads_of_environment();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
