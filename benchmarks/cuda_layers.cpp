// SPDX-License-Identifier: Apache-2.0
// One layer on an NVIDIA GPU: the frozen weight alone by plain cuBLAS, LoRMA+ by the same products
// called by hand, and lorma. Times are CUDA events around one step, medians by the reporter:
//   bench_cuda_layers --benchmark_repetitions=9 --benchmark_report_aggregates_only=true

#include <benchmark/benchmark.h>

#include <iostream>
#include <lorma/backend/cublas.hpp>
#include <lorma/lorma.hpp>
#include <random>

namespace {

using namespace lorma;

constexpr Index rank_r = 8;

struct LayerShape {
  const char* name;
  Index d, k;
};
constexpr LayerShape layers[] = {
    {"LLaMA-3-8B.q", 4096, 4096},    {"LLaMA-3-8B.k", 1024, 4096},
    {"LLaMA-3-8B.up", 14336, 4096},  {"LLaMA-3-8B.down", 4096, 14336},
    {"Gemma-2B.q", 2048, 2048},      {"Gemma-2B.up", 16384, 2048},
    {"RoBERTa-large.q", 1024, 1024}, {"RoBERTa-large.up", 4096, 1024},
};
constexpr Index token_counts[] = {1, 256, 4096, 16384};

CudaContext& context() {
  static CudaContext it = CudaContext::create();
  return it;
}

template <typename S>
DeviceMatrix<S> random_device(Index rows, Index cols, unsigned seed) {
  std::mt19937_64 urbg(seed);
  Matrix<float> m(rows, cols);
  fill_uniform(view_of(m), 1.0 / std::sqrt(static_cast<double>(cols)), urbg);
  return to_device(context(), Matrix<S>(m.template cast<S>()));
}

/// Weight, input and gradient of one layer, and room for its outputs.
template <typename S>
struct Layer {
  Layer(Index d, Index k, Index b)
      : W0(random_device<S>(d, k, 1)),
        X(random_device<S>(k, b, 2)),
        dH(random_device<S>(d, b, 3)),
        H(context(), d, b),
        dX(context(), k, b) {}
  DeviceMatrix<S> W0, X, dH, H, dX;
};

/// Times `step` with CUDA events after warming it up.
template <typename F>
void measure(benchmark::State& state, double flops, F&& step) {
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  for (int i = 0; i < 3; ++i) step();
  context().synchronize();
  for ([[maybe_unused]] auto _ : state) {
    cudaEventRecord(begin, context().stream());
    step();
    cudaEventRecord(end, context().stream());
    cudaEventSynchronize(end);
    float milliseconds = 0;
    cudaEventElapsedTime(&milliseconds, begin, end);
    state.SetIterationTime(static_cast<double>(milliseconds) / 1e3);
  }
  state.counters["flops"] =
      benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
}

template <typename S>
void product(Accumulator<S> alpha, const MatrixView<const S>& A, const MatrixView<const S>& B,
             Accumulator<S> beta, const MatrixView<S>& C) {
  detail::cublas_gemm<S>(context(), alpha, A, B, beta, C);
}

/// H = W0 X and, in training, dX = W0^T dH.
template <typename S>
void frozen(benchmark::State& state, Index d, Index k, Index b, bool training) {
  Layer<S> l(d, k, b);
  const auto flops = static_cast<double>(2 * d * k * b) * (training ? 2 : 1);
  measure(state, flops, [&] {
    product<S>(1, std::as_const(l.W0).view(), std::as_const(l.X).view(), 0, l.H.view());
    if (training) {
      product<S>(1, std::as_const(l.W0).view().transposed(), std::as_const(l.dH).view(), 0,
                 l.dX.view());
    }
  });
}

/// What LoRMA+ has to compute, each product called by hand.
template <typename S>
void by_hand(benchmark::State& state, Index d, Index k, Index b, bool training) {
  Layer<S> l(d, k, b);
  const auto A = random_device<S>(rank_r, d, 4);
  const auto B = random_device<S>(d, rank_r, 5);
  DeviceMatrix<S> Y(context(), d, b), dY(context(), d, b), U(context(), rank_r, b),
      V(context(), rank_r, b), dA(context(), rank_r, d), dB(context(), d, rank_r);
  const auto in = [](const DeviceMatrix<S>& m) { return m.view(); };
  const auto copy = [](const DeviceMatrix<S>& from, DeviceMatrix<S>& to) {
    cudaMemcpyAsync(to.data(), from.data(), static_cast<std::size_t>(from.size()) * sizeof(S),
                    cudaMemcpyDeviceToDevice, context().stream());
  };
  const auto flops = static_cast<double>(2 * d * k * b) * (training ? 2 : 1);
  measure(state, flops, [&] {
    DeviceMatrix<S>& first = training ? Y : l.H;
    product<S>(1, in(l.W0), in(l.X), 0, first.view());
    product<S>(1, in(A), in(first), 0, U.view());
    if (training) copy(Y, l.H);
    product<S>(1, in(B), in(U), 1, l.H.view());
    if (!training) return;
    product<S>(1, in(B).transposed(), in(l.dH), 0, V.view());
    product<S>(1, in(l.dH), in(U).transposed(), 0, dB.view());
    product<S>(1, in(V), in(Y).transposed(), 0, dA.view());
    copy(l.dH, dY);
    product<S>(1, in(A).transposed(), in(V), 1, dY.view());
    product<S>(1, in(l.W0).transposed(), in(dY), 0, l.dX.view());
  });
}

template <typename S, typename Inflation, typename Order>
void adapted(benchmark::State& state, Index d, Index k, Index b, bool training) {
  Layer<S> l(d, k, b);
  Adapter<S, Inflation, Order, Pre, CuBlas> adapter(context(), d, rank_r, float(rank_r));
  std::mt19937_64 urbg(6);
  adapter.initialize(urbg);
  typename decltype(adapter)::Tape tape(context());
  DeviceWorkspace workspace(context());
  Gradients<S, CuBlas> g;
  const auto flops = static_cast<double>(2 * d * k * b) * (training ? 2 : 1);
  measure(state, flops, [&] {
    if (training) {
      adapter.forward_into(l.H, l.W0, l.X, tape);
      adapter.backward_into(g, l.W0, l.dH, tape);
    } else {
      adapter.forward_into(l.H, l.W0, l.X, workspace);
    }
  });
}

template <typename S>
void register_type(const std::string& type) {
  for (const LayerShape& shape : layers) {
    for (const Index b : token_counts) {
      for (const bool training : {false, true}) {
        const auto add = [&](const char* what, auto function) {
          const std::string name = std::string(what) + "/" + type + "/" + shape.name + "/" +
                                   std::to_string(b) + (training ? "/training" : "/forward");
          benchmark::RegisterBenchmark(
              name.c_str(),
              [=](benchmark::State& state) { function(state, shape.d, shape.k, b, training); })
              ->UseManualTime()
              ->Unit(benchmark::kMicrosecond);
        };
        add("frozen", frozen<S>);
        add("by_hand", by_hand<S>);
        add("LoRMA+", adapted<S, Identity, ActivationFirst<Factored>>);
        if (shape.d <= 4096) {
          add("LoRMA_pi_dense", adapted<S, CyclicPermutation, ActivationFirst<Dense>>);
          add("LoRMA_pi_spectral", adapted<S, CyclicPermutation, ActivationFirst<Spectral>>);
        }
      }
    }
  }
}

/// A product through the view of leading dimension 2n - 1 against one of leading dimension n.
template <typename S>
void rotation_view(benchmark::State& state, Index n, Index ld) {
  DeviceMatrix<S> T(context(), n, 2 * n, StorageOrder::RowMajor);
  DeviceWorkspace workspace(context());
  CuBlas::fill(workspace, 1, T.view());
  const auto X = random_device<S>(n, 4096, 1);
  DeviceMatrix<S> H(context(), n, 4096);
  const MatrixView<const S> P(T.data() + (ld == n ? 0 : n), n, n, ld, StorageOrder::RowMajor);
  measure(state, 2.0 * static_cast<double>(n * n) * 4096,
          [&] { product<S>(1, P, std::as_const(X).view(), 0, H.view()); });
}

void register_rotation() {
  for (const Index n : {1024, 2048, 4096}) {
    for (const Index ld : {n, 2 * n - 1}) {
      const std::string size = std::to_string(n) + "/ld:" + std::to_string(ld);
      benchmark::RegisterBenchmark(("rotation/float32/" + size).c_str(),
                                   [=](benchmark::State& s) { rotation_view<float>(s, n, ld); })
          ->UseManualTime()
          ->Unit(benchmark::kMicrosecond);
      benchmark::RegisterBenchmark(
          ("rotation/bfloat16/" + size).c_str(),
          [=](benchmark::State& s) { rotation_view<Eigen::bfloat16>(s, n, ld); })
          ->UseManualTime()
          ->Unit(benchmark::kMicrosecond);
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    context();
  } catch (const BackendError& error) {
    std::cerr << error.what() << '\n';
    return 77;
  }
  int driver = 0;
  cudaDriverGetVersion(&driver);
  cudaDeviceProp properties{};
  cudaGetDeviceProperties(&properties, 0);
  benchmark::AddCustomContext("gpu", properties.name);
  benchmark::AddCustomContext("driver", std::to_string(driver));
  benchmark::AddCustomContext("cuda", std::to_string(CUDART_VERSION));
  register_type<float>("float32");
  register_type<Eigen::bfloat16>("bfloat16");
  register_rotation();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
