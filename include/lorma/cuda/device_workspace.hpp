// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_DEVICE_WORKSPACE_HPP
#define LORMA_CUDA_DEVICE_WORKSPACE_HPP

/// Scratch in memory of the device: the stack of core/workspace.hpp over cudaMallocAsync.
///
/// All blocks live in the order of one stream, so that a block given back may still be read by
/// kernels queued before. Warm, it allocates nothing. One a thread.

#include "lorma/core/workspace.hpp"
#include "lorma/cuda/context.hpp"

namespace lorma::inline LORMA_ABI {

/// Memory of a context's device; throws BackendError when it is full.
struct DeviceMemory {
  static constexpr std::size_t alignment = 256;
  CudaContext context;

  std::byte* allocate(std::size_t bytes) const {
    return static_cast<std::byte*>(context.allocate(bytes));
  }
  void release(std::byte* data, std::size_t) const noexcept { context.release(data); }
};

class DeviceWorkspace : public BasicWorkspace<DeviceMemory> {
 public:
  explicit DeviceWorkspace(const CudaContext& context)
      : BasicWorkspace<DeviceMemory>(DeviceMemory{context}) {}

  const CudaContext& context() const { return memory().context; }
};

}  // namespace lorma::inline LORMA_ABI

#endif
