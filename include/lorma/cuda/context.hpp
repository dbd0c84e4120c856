// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_CONTEXT_HPP
#define LORMA_CUDA_CONTEXT_HPP

/// A cuBLAS handle, the stream it works on and its workspace.
///
///   auto context = lorma::CudaContext::create();                 // a stream of its own
///   auto context = lorma::CudaContext::on_stream(stream);        // the caller's
/// A handle to copy: copies share one state, which lives as long as any of them and whatever was
/// made with it. One context a thread. Nothing is queued on another stream, and nothing waits but
/// what says so (synchronize, downloads, finite checks, unmerge).

#include <memory>
#include <tuple>
#include <utility>
#include <vector>

#include "lorma/core/types.hpp"
#include "lorma/cuda/check.hpp"

namespace lorma::inline LORMA_ABI {

/// Whether products of float may be rounded to TF32 (10 bits of mantissa) on their way into tensor
/// cores.
enum class Tf32 : unsigned char { refused, allowed };

struct CudaOptions {
  Tf32 tf32 = Tf32::refused;
  /// Scratch of cuBLAS; its own choice would not be the same for every stream, and sums with it.
  std::size_t workspace_bytes = std::size_t(32) << 20;
};

class CudaContext {
 public:
  /// With a non-blocking stream of its own on the current device. Throws BackendError where there
  /// is no GPU, no driver or no memory.
  static CudaContext create(const CudaOptions& options = {}) {
    int devices = 0;
    detail::check_cuda("cudaGetDeviceCount", cudaGetDeviceCount(&devices));
    cudaStream_t stream = nullptr;
    detail::check_cuda("cudaStreamCreateWithFlags",
                       cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    return CudaContext(stream, true, options);
  }

  /// Over a stream of the caller, which must outlive the context. A null stream is CUDA's default
  /// stream.
  static CudaContext on_stream(cudaStream_t stream, const CudaOptions& options = {}) {
    int devices = 0;
    detail::check_cuda("cudaGetDeviceCount", cudaGetDeviceCount(&devices));
    return CudaContext(stream, false, options);
  }

  cudaStream_t stream() const { return state_->stream; }
  cublasHandle_t handle() const { return state_->handle; }
  Tf32 tf32() const { return state_->options.tf32; }

  /// Waits for everything queued on the stream; errors of earlier kernels appear here.
  void synchronize() const {
    detail::check_cuda("cudaStreamSynchronize", cudaStreamSynchronize(stream()));
  }

  /// \name For lorma's own kernels and containers
  ///@{
  /// Memory in the order of the stream. Not while the stream is being captured: what a graph
  /// allocates is gone after its launch.
  void* allocate(std::size_t bytes) const {
    if (capturing()) {
      throw BackendError(
          "lorma::CuBlas: expected a warm workspace before the stream is captured, got a call that "
          "needs " +
          std::to_string(bytes) + " bytes more: make the same call once before the capture");
    }
    void* data = nullptr;
    detail::check_cuda("cudaMallocAsync", cudaMallocAsync(&data, bytes, stream()));
    return data;
  }
  /// Never throws: a failure leaks and shows at the next synchronization.
  void release(void* data) const noexcept {
    if (data != nullptr) (void)cudaFreeAsync(data, stream());
  }
  bool capturing() const {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    detail::check_cuda("cudaStreamIsCapturing", cudaStreamIsCapturing(stream(), &status));
    return status != cudaStreamCaptureStatusNone;
  }
  /// cuFFT plan of `batch` contiguous transforms of length n, made once.
  cufftHandle plan(cufftType type, Index n, Index batch) const {
    for (const auto& [key, plan] : state_->plans) {
      if (key == std::tuple(type, n, batch)) return plan;
    }
    if (capturing()) {
      throw BackendError(
          "lorma::CuBlas: expected the cuFFT plan to exist before the stream is captured: make the "
          "same call once before the capture");
    }
    state_->plans.reserve(state_->plans.size() + 1);
    cufftHandle plan = 0;
    detail::check_cufft("cufftCreate", cufftCreate(&plan));
    state_->plans.emplace_back(std::tuple(type, n, batch), plan);
    long long length = n;
    std::size_t scratch = 0;
    const auto status =
        cufftMakePlanMany64(plan, 1, &length, nullptr, 1, 0, nullptr, 1, 0, type, batch, &scratch);
    const auto streamed = status == CUFFT_SUCCESS ? cufftSetStream(plan, stream()) : status;
    if (streamed != CUFFT_SUCCESS) {
      cufftDestroy(plan);
      state_->plans.pop_back();
      detail::check_cufft("cufftMakePlanMany64", streamed);
    }
    return plan;
  }
  ///@}

  bool operator==(const CudaContext& other) const { return state_ == other.state_; }

 private:
  struct State {
    cudaStream_t stream = nullptr;
    bool owns_stream = false;
    CudaOptions options;
    cublasHandle_t handle = nullptr;
    void* workspace = nullptr;
    std::vector<std::pair<std::tuple<cufftType, Index, Index>, cufftHandle>> plans;

    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() {
      for (const auto& [key, plan] : plans) cufftDestroy(plan);
      if (handle != nullptr) cublasDestroy(handle);
      if (workspace != nullptr) (void)cudaFreeAsync(workspace, stream);
      if (owns_stream) (void)cudaStreamDestroy(stream);
    }
  };

  CudaContext(cudaStream_t stream, bool owns, const CudaOptions& options)
      : state_(std::make_shared<State>()) {
    State& s = *state_;
    s.stream = stream;
    s.owns_stream = owns;
    s.options = options;
    detail::check_cublas("cublasCreate", cublasCreate(&s.handle));
    detail::check_cublas("cublasSetStream", cublasSetStream(s.handle, stream));
    if (options.workspace_bytes > 0) {
      s.workspace = allocate(options.workspace_bytes);
      detail::check_cublas("cublasSetWorkspace",
                           cublasSetWorkspace(s.handle, s.workspace, options.workspace_bytes));
    }
    // Sums of half and bfloat16 stay in float when a product is split; no atomic sums.
    const auto mode = static_cast<cublasMath_t>(CUBLAS_DEFAULT_MATH |
                                                CUBLAS_MATH_DISALLOW_REDUCED_PRECISION_REDUCTION);
    detail::check_cublas("cublasSetMathMode", cublasSetMathMode(s.handle, mode));
    detail::check_cublas("cublasSetAtomicsMode",
                         cublasSetAtomicsMode(s.handle, CUBLAS_ATOMICS_NOT_ALLOWED));
    detail::check_cublas("cublasSetPointerMode",
                         cublasSetPointerMode(s.handle, CUBLAS_POINTER_MODE_HOST));
  }

  std::shared_ptr<State> state_;
};

}  // namespace lorma::inline LORMA_ABI

#endif
