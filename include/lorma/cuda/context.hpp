// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_CONTEXT_HPP
#define LORMA_CUDA_CONTEXT_HPP

/// A cuBLAS handle, the stream it works on and its workspace.
///
///   auto context = lorma::CudaContext::create();                 // a stream of its own
///   auto context = lorma::CudaContext::on_stream(stream);        // the caller's
/// A handle to copy: copies share one state, which lives as long as any of them and whatever was
/// made with it. A context and all that was made with it belong to one thread at a time, and to the
/// device that was current when it was made. Nothing is queued on another stream, and nothing waits
/// but what docs/cuda.md lists.

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "lorma/core/types.hpp"
#include "lorma/cuda/check.hpp"
#include "lorma/cuda/cufft_plans.hpp"

namespace lorma::inline LORMA_ABI {

/// Whether products of float may be rounded to TF32 (10 bits of mantissa) on their way into tensor
/// cores.
enum class Tf32 : unsigned char { refused, allowed };

struct CudaOptions {
  Tf32 tf32 = Tf32::refused;
  /// Scratch of cuBLAS; its own choice would not be the same for every stream, and sums with it.
  std::size_t workspace_bytes = std::size_t(32) << 20;
  /// Columns (or rows) of a matrix that are copied or converted at a time.
  Index panel_columns = 4096;
  /// Spectral takes columns in batches whose spectra fill this many bytes at most.
  std::size_t spectral_bytes = std::size_t(64) << 20;
};

class CudaContext {
 public:
  /// With a non-blocking stream of its own on the current device. Throws BackendError where there
  /// is no GPU, no driver or no memory.
  static CudaContext create(const CudaOptions& options = {}) {
    return CudaContext(nullptr, true, options);
  }

  /// Over a stream of the caller, on the current device, which must outlive the context. A null
  /// stream is CUDA's default stream.
  static CudaContext on_stream(cudaStream_t stream, const CudaOptions& options = {}) {
    return CudaContext(stream, false, options);
  }

  /// Throw BackendError while another device than the context's is current.
  cudaStream_t stream() const {
    check_device();
    return state_->stream;
  }
  cublasHandle_t handle() const {
    check_device();
    return state_->handle;
  }
  int device() const { return state_->device; }
  Tf32 tf32() const { return state_->options.tf32; }
  const CudaOptions& options() const { return state_->options; }

  /// Waits for everything queued on the stream; errors of earlier kernels appear here.
  void synchronize() const {
    detail::check_cuda("cudaStreamSynchronize", cudaStreamSynchronize(stream()));
  }

  /// Whether the stream is being captured into a CUDA graph.
  bool capturing() const { return state_->capturing(); }

  /// \name For lorma's own kernels and containers
  ///@{
  /// Memory in the order of the stream. Not while the stream is being captured: what a graph
  /// allocates is gone after its launch.
  void* allocate(std::size_t bytes) const {
    const cudaStream_t on = stream();
    if (capturing()) {
      throw BackendError(
          "lorma::CuBlas: expected a warm workspace before the stream is captured, got a call that "
          "needs " +
          std::to_string(bytes) + " bytes more: make the same call once before the capture");
    }
    state_->release_deferred();
    void* data = nullptr;
    detail::check_cuda("cudaMallocAsync", cudaMallocAsync(&data, bytes, on));
    return data;
  }
  /// Never throws: a failure leaks. While the stream is being captured, the memory is kept until
  /// it no longer is: a graph cannot free what it did not allocate.
  void release(void* data) const noexcept { state_->release(data); }
  /// For copies between the memory of the process and of the device: a graph would read or write
  /// memory that is gone when it is launched.
  void refuse_capture(std::string_view function) const {
    if (!capturing()) return;
    throw BackendError("lorma::" + std::string(function) +
                       ": expected a stream that is not being captured, got one that is: the copy "
                       "waits for the device");
  }
  /// cuFFT plan of `batch` contiguous transforms of length n, made once.
  detail::CufftPlan plan(cufftType type, Index n, Index batch) const {
    return state_->plans->get(stream(), capturing(), type, n, batch);
  }
  /// The same for every copy of one context, and for no other.
  const void* id() const { return state_.get(); }
  ///@}

  bool operator==(const CudaContext& other) const { return state_ == other.state_; }

 private:
  struct State {
    CudaOptions options;
    int device = 0;
    cudaStream_t stream = nullptr;
    bool owns_stream = false;
    cublasHandle_t handle = nullptr;
    void* workspace = nullptr;
    std::vector<void*> deferred;
    std::optional<detail::CufftPlans> plans{std::in_place};

    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    /// On the context's own device, whichever is current.
    ~State() {
      int current = device;
      (void)cudaGetDevice(&current);
      if (current != device) (void)cudaSetDevice(device);
      plans.reset();
      if (handle != nullptr) (void)cublasDestroy(handle);
      release(workspace);
      if (!keeps_memory()) release_deferred();
      if (owns_stream && stream != nullptr) (void)cudaStreamDestroy(stream);
      if (current != device) (void)cudaSetDevice(current);
    }

    bool capturing() const {
      cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
      detail::check_cuda("cudaStreamIsCapturing", cudaStreamIsCapturing(stream, &status));
      return status != cudaStreamCaptureStatusNone;
    }
    /// While a capture runs, or where nobody knows whether one does.
    bool keeps_memory() const noexcept {
      try {
        return capturing();
      } catch (const std::exception&) {
        return true;
      }
    }
    void release(void* data) noexcept {
      if (data == nullptr) return;
      try {
        deferred.push_back(data);
      } catch (const std::exception&) {
        return;
      }
      if (!keeps_memory()) release_deferred();
    }
    /// Outside of a capture.
    void release_deferred() noexcept {
      for (void* data : deferred) {
        if (cudaFreeAsync(data, stream) != cudaSuccess) detail::forget_last_error();
      }
      deferred.clear();
    }
  };

  CudaContext(cudaStream_t stream, bool own_stream, const CudaOptions& options)
      : state_(std::make_shared<State>()) {
    int devices = 0;
    detail::check_cuda("cudaGetDeviceCount", cudaGetDeviceCount(&devices));
    State& s = *state_;
    s.options = options;
    detail::check_cuda("cudaGetDevice", cudaGetDevice(&s.device));
    s.owns_stream = own_stream;
    s.stream = stream;
    if (own_stream) {
      detail::check_cuda("cudaStreamCreateWithFlags",
                         cudaStreamCreateWithFlags(&s.stream, cudaStreamNonBlocking));
    }
    detail::check_cublas("cublasCreate", cublasCreate(&s.handle));
    detail::check_cublas("cublasSetStream", cublasSetStream(s.handle, s.stream));
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

  /// A thread-local read, far below the cost of a launch.
  void check_device() const {
    int current = state_->device;
    detail::check_cuda("cudaGetDevice", cudaGetDevice(&current));
    if (current == state_->device) return;
    throw BackendError("lorma::CuBlas: expected device " + std::to_string(state_->device) +
                       ", on which the context was made, to be the current one, got device " +
                       std::to_string(current) + ": call cudaSetDevice(" +
                       std::to_string(state_->device) + ") first");
  }

  std::shared_ptr<State> state_;
};

}  // namespace lorma::inline LORMA_ABI

#endif
