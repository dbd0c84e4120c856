// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TORCH_CUBLAS_HPP
#define LORMA_TORCH_CUBLAS_HPP

/// LoRMA_pi on tensors of an NVIDIA GPU by the backend CuBlas, on torch's current stream.
///
/// torch/cyclic.hpp takes it where LORMA_TORCH_CUBLAS is defined, as CMake does for programs that
/// link the components torch and cublas, with a libtorch that has CUDA. Scratch is kept for each
/// thread and stream, outside of torch's allocator.

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <array>
#include <map>
#include <utility>

#include "lorma/cublas.hpp"
#include "lorma/torch/tensors.hpp"

namespace lorma::inline LORMA_ABI::torch::detail {

/// Of the calling thread, on the current stream of the current device.
inline DeviceWorkspace& device_scratch() {
  const c10::cuda::CUDAStream stream = c10::cuda::getCurrentCUDAStream();
  thread_local std::map<std::pair<int, cudaStream_t>, DeviceWorkspace> scratch;
  const std::pair key(static_cast<int>(stream.device_index()), stream.stream());
  const auto found = scratch.find(key);
  if (found != scratch.end()) return found->second;
  return scratch.try_emplace(key, CudaContext::on_stream(key.second)).first->second;
}

/// A contiguous tensor of two dimensions on the device of a context, to read.
template <typename S>
DeviceView<const S> device_tensor(const CudaContext& context, const Tensor& t) {
  return device_view(context, elements<S>(t), t.size(0), t.size(1), StorageOrder::RowMajor);
}

/// The same to write; of no data where it is not wanted.
template <typename S>
DeviceView<S> device_result(const CudaContext& context, const Tensor& t, bool wanted = true) {
  return {context, contiguous_matrix<S>(t, wanted)};
}

/// Calls f(P, workspace) for P of factors on the current stream of their device.
template <typename S, typename F>
void with_cublas(const Tensor& B, const Tensor& A, double scale, F&& f) {
  const c10::cuda::CUDAGuard device(B.device());
  DeviceWorkspace& workspace = device_scratch();
  const CudaContext& context = workspace.context();
  const AdapterView<S, CyclicPermutation, Auto, Pre, CuBlas> p(
      device_tensor<S>(context, B), device_tensor<S>(context, A), static_cast<S>(scale));
  f(p, workspace);
}

/// out = P y or P^T y for tokens y [b, n]; all contiguous, of scalar S, on one device. Throws
/// BackendError, also for memory.
template <typename S>
void cyclic_apply_by_cublas(const Tensor& y, const Tensor& B, const Tensor& A, double scale,
                            bool adjoint, const Tensor& out) {
  with_cublas<S>(B, A, scale, [&](const auto& p, DeviceWorkspace& workspace) {
    const auto to = device_result<S>(workspace.context(), out).transposed();
    const auto from = device_tensor<S>(workspace.context(), y).transposed();
    adjoint ? p.apply_adjoint_into(to, from, workspace) : p.apply_into(to, from, workspace);
  });
}

/// Gradients of <g, P y> into those of dY, dB and dA that are wanted; as above.
template <typename S>
void cyclic_vjp_by_cublas(const Tensor& g, const Tensor& y, const Tensor& B, const Tensor& A,
                          double scale, const Tensor& dY, const Tensor& dB, const Tensor& dA,
                          std::array<bool, 3> wanted) {
  with_cublas<S>(B, A, scale, [&](const auto& p, DeviceWorkspace& workspace) {
    const CudaContext& context = workspace.context();
    p.vjp_into(device_result<S>(context, dY, wanted[0]).transposed(),
               device_result<S>(context, dA, wanted[2]), device_result<S>(context, dB, wanted[1]),
               device_tensor<S>(context, y).transposed(), device_tensor<S>(context, g).transposed(),
               workspace);
  });
}

}  // namespace lorma::inline LORMA_ABI::torch::detail

#endif
