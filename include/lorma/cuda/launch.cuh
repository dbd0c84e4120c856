// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_LAUNCH_CUH
#define LORMA_CUDA_LAUNCH_CUH

/// Running f(i, j, k) for every index of a box, i fastest: on the device by a kernel, under a host
/// compiler in a loop over the same threads (the tests do), so that what is tested is what runs. A
/// box instead of one long index spares every element its divisions.

#include <cuda_runtime_api.h>

#ifdef __CUDACC__
#define LORMA_CUDA_CALLABLE __host__ __device__
#else
#define LORMA_CUDA_CALLABLE
#endif

namespace lorma_cuda_kernels {

using Int = long long;

/// Sizes of a box of indices, or a place in it, or a distance.
struct Box {
  Int x = 1, y = 1, z = 1;
  LORMA_CUDA_CALLABLE Int size() const { return x * y * z; }
};

/// What one thread does: from `first` on, every `step`-th index along each axis.
template <typename F>
LORMA_CUDA_CALLABLE void visit(const Box& box, const Box& first, const Box& step, const F& f) {
  for (Int k = first.z; k < box.z; k += step.z) {
    for (Int j = first.y; j < box.y; j += step.y) {
      for (Int i = first.x; i < box.x; i += step.x) f(i, j, k);
    }
  }
}

/// Threads of a block and blocks of the grid for a box: 256 threads, as many along x as x has use
/// for, within CUDA's limits of 65535 along y and z.
struct Shape {
  Box block, grid;
};
inline Shape launch_shape(const Box& box) {
  constexpr Int threads = 256;
  const auto blocks = [](Int size, Int block, Int most) {
    const Int wanted = (size + block - 1) / block;
    return wanted < most ? wanted : most;
  };
  Shape shape;
  while (shape.block.x < box.x && shape.block.x < threads) shape.block.x *= 2;
  while (shape.block.y < box.y && shape.block.x * shape.block.y < threads) shape.block.y *= 2;
  shape.grid.x = blocks(box.x, shape.block.x, Int(1) << 20);
  shape.grid.y = blocks(box.y, shape.block.y, 65535);
  shape.grid.z = blocks(box.z, 1, 65535);
  return shape;
}

#ifdef __CUDACC__

template <typename F>
__global__ void over_box(Box box, F f) {
  const Box first{static_cast<Int>(blockIdx.x) * blockDim.x + threadIdx.x,
                  static_cast<Int>(blockIdx.y) * blockDim.y + threadIdx.y,
                  static_cast<Int>(blockIdx.z)};
  const Box step{static_cast<Int>(gridDim.x) * blockDim.x, static_cast<Int>(gridDim.y) * blockDim.y,
                 static_cast<Int>(gridDim.z)};
  visit(box, first, step, f);
}

/// The code of this very launch: the runtime's last error may be older and somebody else's.
template <typename F>
cudaError_t run(cudaStream_t stream, Box box, F f) {
  if (box.size() <= 0) return cudaSuccess;
  const Shape shape = launch_shape(box);
  const auto dim = [](const Box& b) {
    return dim3(static_cast<unsigned>(b.x), static_cast<unsigned>(b.y), static_cast<unsigned>(b.z));
  };
  void* arguments[] = {&box, &f};
  return cudaLaunchKernel(reinterpret_cast<const void*>(&over_box<F>), dim(shape.grid),
                          dim(shape.block), arguments, 0, stream);
}

#else

template <typename F>
cudaError_t run(cudaStream_t, Box box, F f) {
  if (box.size() <= 0) return cudaSuccess;
  const Shape shape = launch_shape(box);
  const Box step{shape.grid.x * shape.block.x, shape.grid.y * shape.block.y, shape.grid.z};
  for (Int z = 0; z < step.z; ++z) {
    for (Int y = 0; y < step.y; ++y) {
      for (Int x = 0; x < step.x; ++x) visit(box, {x, y, z}, step, f);
    }
  }
  return cudaSuccess;
}

#endif

}  // namespace lorma_cuda_kernels

#endif
