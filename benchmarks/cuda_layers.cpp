// SPDX-License-Identifier: Apache-2.0
// One layer on an NVIDIA GPU: the frozen weight alone by plain cuBLAS, LoRMA+ by the same products
// called by hand, and lorma; and what the rotation costs in front of tensor cores. Times are CUDA
// events around one step, medians of five repetitions:
//   bench_cuda_layers --benchmark_out=cuda.json [--benchmark_filter=bfloat16/LLaMA.*/4096]
// By the peak rates of an H100 (not measured) the whole takes about five minutes and 6 GB.

#include <benchmark/benchmark.h>

#include <iostream>
#include <lorma/cublas.hpp>
#include <optional>
#include <random>
#include <string>
#include <vector>

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

void check(const char* call, cudaError_t status) {
  detail::check_cuda(call, status);
}

constexpr Index stock_size = 4194301;

/// rows x cols numbers of U(-1, 1) / sqrt(cols), cut from one stock of a prime length, because a
/// matrix of the CPU would take longer to fill and to copy than all steps on it.
template <typename S>
DeviceMatrix<S> random_device(Index rows, Index cols, Index seed) {
  static const DeviceMatrix<float> stock = [] {
    std::mt19937_64 urbg(1);
    Matrix<float> m(stock_size, 1);
    fill_uniform(view_of(m), 1.0, urbg);
    return to_device(context(), m);
  }();
  DeviceMatrix<S> result(context(), rows, cols);
  const double scale = 1.0 / std::sqrt(static_cast<double>(cols));
  Index from = seed * 999983 % stock_size;
  for (Index done = 0; done < result.size();) {
    const Index count = std::min(stock_size - from, result.size() - done);
    check("lorma_cuda_copy",
          lorma_cuda_copy(
              context().stream(), scale, detail::kernel_matrix(stock.view().row_range(from, count)),
              detail::kernel_matrix(MatrixView<S>(result.data() + done, count, 1, count))));
    done += count;
    from = 0;
  }
  return result;
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

/// The layer of a size; the last one is kept, as neighbouring benchmarks share it.
template <typename S>
Layer<S>& layer(Index d, Index k, Index b) {
  static std::optional<Layer<S>> last;
  if (!last || last->W0.rows() != d || last->W0.cols() != k || last->X.cols() != b) {
    last.reset();  // before the next takes memory
    last.emplace(d, k, b);
  }
  return *last;
}

class Event {
 public:
  Event() { check("cudaEventCreate", cudaEventCreate(&event_)); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event() { (void)cudaEventDestroy(event_); }
  void record() const { check("cudaEventRecord", cudaEventRecord(event_, context().stream())); }
  double seconds_since(const Event& begin) const {
    float milliseconds = 0;
    check("cudaEventSynchronize", cudaEventSynchronize(event_));
    check("cudaEventElapsedTime", cudaEventElapsedTime(&milliseconds, begin.event_, event_));
    return static_cast<double>(milliseconds) / 1e3;
  }

 private:
  cudaEvent_t event_ = nullptr;
};

/// Times `step` with CUDA events after warming it up.
template <typename F>
void measure(benchmark::State& state, double flops, F&& step) {
  const Event begin, end;
  for (int i = 0; i < 2; ++i) step();
  context().synchronize();
  for ([[maybe_unused]] auto _ : state) {
    begin.record();
    step();
    end.record();
    state.SetIterationTime(end.seconds_since(begin));
  }
  state.counters["flops"] =
      benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

/// Registers `function(state)`; what CUDA refuses becomes the error of that benchmark alone.
template <typename F>
void add(const std::string& name, F function) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [function](benchmark::State& state) {
                                 try {
                                   function(state);
                                 } catch (const Error& error) {
                                   state.SkipWithError(error.what());
                                 }
                               })
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

template <typename S>
void product(Accumulator<S> alpha, const MatrixView<const S>& A, const MatrixView<const S>& B,
             Accumulator<S> beta, const MatrixView<S>& C) {
  detail::cublas_gemm<S>(context(), alpha, A, B, beta, C);
}

/// H = W0 X and, in training, dX = W0^T dH.
template <typename S>
void frozen(benchmark::State& state, Index d, Index k, Index b, bool training) {
  Layer<S>& l = layer<S>(d, k, b);
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
  Layer<S>& l = layer<S>(d, k, b);
  const auto A = random_device<S>(rank_r, d, 4);
  const auto B = random_device<S>(d, rank_r, 5);
  DeviceMatrix<S> Y(context(), d, b), dY(context(), d, b), U(context(), rank_r, b),
      V(context(), rank_r, b), dA(context(), rank_r, d), dB(context(), d, rank_r);
  const auto in = [](const DeviceMatrix<S>& m) { return m.view(); };
  const auto copy = [](const DeviceMatrix<S>& from, DeviceMatrix<S>& to) {
    check("cudaMemcpyAsync",
          cudaMemcpyAsync(to.data(), from.data(), static_cast<std::size_t>(from.size()) * sizeof(S),
                          cudaMemcpyDeviceToDevice, context().stream()));
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
  Layer<S>& l = layer<S>(d, k, b);
  Adapter<S, Inflation, Order, Pre, CuBlas> adapter(context(), d, rank_r, float(rank_r));
  adapter.A() = random_device<S>(rank_r, d, 6);
  adapter.B() = random_device<S>(d, rank_r, 7);
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
        const auto add_step = [&](const char* what, auto function) {
          const std::string name = std::string(what) + "/" + type + "/" + shape.name + "/" +
                                   std::to_string(b) + (training ? "/training" : "/forward");
          add(name,
              [=](benchmark::State& state) { function(state, shape.d, shape.k, b, training); });
        };
        add_step("frozen", frozen<S>);
        add_step("by_hand", by_hand<S>);
        add_step("LoRMA+", adapted<S, Identity, ActivationFirst<Factored>>);
        if (shape.d <= 4096) {
          add_step("LoRMA_pi_dense", adapted<S, CyclicPermutation, ActivationFirst<Dense>>);
          add_step("LoRMA_pi_spectral", adapted<S, CyclicPermutation, ActivationFirst<Spectral>>);
        }
      }
    }
  }
}

enum class Rotation : unsigned char { view, aligned_copy, plain };

/// P X with P = I_pi(M) as the view of leading dimension 2n - 1, as aligned rows that a pass turns
/// first (which is timed too), and a product with a plain matrix.
template <typename S>
void rotation(benchmark::State& state, Index n, Rotation how) {
  constexpr Index tokens = 4096;
  const auto source = random_device<S>(2 * n, n, 1);  // row-major n x 2n
  const auto X = random_device<S>(n, tokens, 2);
  DeviceMatrix<S> H(context(), n, tokens), P(context(), n, n, StorageOrder::RowMajor);
  DeviceWorkspace workspace(context());
  const MatrixView<const S> M(source.data(), n, n, n, StorageOrder::RowMajor);
  const MatrixView<const S> view(source.data() + n, n, n, 2 * n - 1, StorageOrder::RowMajor);
  measure(state, 2.0 * static_cast<double>(n * n * tokens), [&] {
    if (how == Rotation::aligned_copy) CuBlas::rotate(workspace, 1, M, P.view());
    const MatrixView<const S> left = how == Rotation::view    ? view
                                     : how == Rotation::plain ? M
                                                              : as_const(P.view());
    product<S>(1, left, X.view(), 0, H.view());
  });
}

template <typename S>
void register_rotation(const std::string& type) {
  for (const Index n : {1024, 2048, 4096}) {
    const auto add_way = [&](const char* what, Rotation how) {
      add("rotation/" + type + "/" + std::to_string(n) + "/" + what,
          [=](benchmark::State& state) { rotation<S>(state, n, how); });
    };
    add_way("view", Rotation::view);
    add_way("aligned_copy", Rotation::aligned_copy);
    add_way("plain", Rotation::plain);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    int driver = 0;
    cudaDeviceProp properties{};
    check("cudaDriverGetVersion", cudaDriverGetVersion(&driver));
    check("cudaGetDeviceProperties", cudaGetDeviceProperties(&properties, context().device()));
    benchmark::AddCustomContext("gpu", properties.name);
    benchmark::AddCustomContext("driver", std::to_string(driver));
    benchmark::AddCustomContext("cuda", std::to_string(CUDART_VERSION));
  } catch (const BackendError& error) {
    std::cerr << error.what() << '\n';
    return 77;
  }
  register_type<float>("float32");
  register_type<Eigen::bfloat16>("bfloat16");
  register_rotation<float>("float32");
  register_rotation<Eigen::half>("float16");
  register_rotation<Eigen::bfloat16>("bfloat16");
  // Defaults, which what is given overrides.
  std::vector<std::string> defaults{argv[0], "--benchmark_min_time=0.02",
                                    "--benchmark_repetitions=5",
                                    "--benchmark_report_aggregates_only=true"};
  std::vector<char*> arguments;
  for (std::string& text : defaults) arguments.push_back(text.data());
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  argc = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  benchmark::Initialize(&argc, arguments.data());
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
