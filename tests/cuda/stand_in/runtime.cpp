// SPDX-License-Identifier: Apache-2.0
// The part of the CUDA runtime that lorma calls, on the host. Work runs when it is queued.

#include <cuda_runtime_api.h>

#include <cstring>

#include "arena.hpp"

namespace {

int a_stream = 0;

/// Where a side of a copy lies; null when its kind says device and it is not, or the reverse.
void* side(const void* pointer, std::size_t bytes, bool device) {
  if (device) return stand_in::resolve(pointer, bytes);
  return stand_in::is_device(pointer) ? nullptr : const_cast<void*>(pointer);
}

bool to_device(cudaMemcpyKind kind) {
  return kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
}
bool from_device(cudaMemcpyKind kind) {
  return kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
}

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 1;
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t) {
  return "an error of the stand-in";
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = reinterpret_cast<cudaStream_t>(&a_stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t) {
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  ++stand_in::counters().waits;
  return stand_in::capturing() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
cudaError_t cudaStreamBeginCapture(cudaStream_t, cudaStreamCaptureMode) {
  stand_in::capturing() = true;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t* graph) {
  stand_in::capturing() = false;
  *graph = nullptr;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t, cudaStreamCaptureStatus* status) {
  *status = stand_in::capturing() ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** data, std::size_t bytes, cudaStream_t) {
  if (stand_in::capturing()) return cudaErrorStreamCaptureUnsupported;
  *data = stand_in::allocate(bytes);
  return *data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
cudaError_t cudaFreeAsync(void* data, cudaStream_t) {
  return stand_in::release(data) ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t) {
  void* out = side(to, bytes, to_device(kind));
  const void* in = side(from, bytes, from_device(kind));
  if (out == nullptr || in == nullptr) return cudaErrorInvalidValue;
  std::memmove(out, in, bytes);
  return cudaSuccess;
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t) {
  if (width == 0 || height == 0) return cudaSuccess;
  if (to_pitch < width || from_pitch < width) return cudaErrorInvalidPitchValue;
  auto* out = static_cast<char*>(side(to, (height - 1) * to_pitch + width, to_device(kind)));
  auto* in = static_cast<char*>(side(from, (height - 1) * from_pitch + width, from_device(kind)));
  if (out == nullptr || in == nullptr) return cudaErrorInvalidValue;
  for (std::size_t i = 0; i < height; ++i) {
    std::memmove(out + i * to_pitch, in + i * from_pitch, width);
  }
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* data, int value, std::size_t bytes, cudaStream_t) {
  void* out = stand_in::resolve(data, bytes);
  if (out == nullptr) return cudaErrorInvalidValue;
  std::memset(out, value, bytes);
  return cudaSuccess;
}

}  // extern "C"
