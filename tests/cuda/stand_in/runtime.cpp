// SPDX-License-Identifier: Apache-2.0
// The part of the CUDA runtime that lorma calls, on the host.

#include <cuda_runtime_api.h>

#include <cstring>
#include <limits>
#include <utility>

#include "arena.hpp"
#include "queue.hpp"

namespace stand_in {
namespace {

constexpr int device_count = 2;
int captures = 0;
thread_local cudaError_t last_error = cudaSuccess;

/// Where a side of a copy lies; null when its kind says device and it is not, or the reverse.
void* side(const void* pointer, std::size_t bytes, bool device) {
  if (device) return resolve(pointer, bytes);
  return is_device(pointer) ? nullptr : const_cast<void*>(pointer);
}

bool to_device(cudaMemcpyKind kind) {
  return kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
}
bool from_device(cudaMemcpyKind kind) {
  return kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
}

/// A copy that touches memory of the process waits, and no capture allows it.
cudaError_t submit_copy(cudaStream_t stream, cudaMemcpyKind kind, const Work& work) {
  if (kind != cudaMemcpyDeviceToDevice) {
    const cudaError_t allowed = forbid_capture(stream);
    if (allowed != cudaSuccess) return allowed;
    ++counters().host_copies;
  }
  return submit(stream, work);
}

}  // namespace

Stream& stream_of(cudaStream_t stream) {
  static auto& of_default = *new Stream;  // outlives every context
  return stream == nullptr ? of_default : *reinterpret_cast<Stream*>(stream);
}
int& current_device() {
  thread_local int it = 0;
  return it;
}
bool any_capture() {
  return captures > 0;
}
cudaError_t result(cudaError_t status) {
  if (status != cudaSuccess) last_error = status;
  return status;
}
cudaError_t submit(cudaStream_t stream, const Work& work) {
  Stream& s = stream_of(stream);
  if (s.device != current_device()) return result(cudaErrorInvalidResourceHandle);
  if (!s.capturing) return result(work());
  s.recorded.push_back(work);
  return cudaSuccess;
}
cudaError_t forbid_capture(cudaStream_t stream) {
  Stream& s = stream_of(stream);
  if (!s.capturing) return cudaSuccess;
  s.invalid = true;
  return result(cudaErrorStreamCaptureUnsupported);
}

}  // namespace stand_in

using namespace stand_in;

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = device_count;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  *device = current_device();
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  if (device < 0 || device >= device_count) return result(cudaErrorInvalidDevice);
  current_device() = device;
  return cudaSuccess;
}
const char* cudaGetErrorString(cudaError_t) {
  return "an error of the stand-in";
}
cudaError_t cudaGetLastError() {
  return std::exchange(last_error, cudaSuccess);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  *stream = reinterpret_cast<cudaStream_t>(new Stream{.device = current_device()});
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete reinterpret_cast<Stream*>(stream);
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ++counters().waits;
  return forbid_capture(stream);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  Stream& s = stream_of(stream);
  if (stream == nullptr || s.capturing) return result(cudaErrorStreamCaptureUnsupported);
  s.capturing = true;
  s.invalid = false;
  s.recorded.clear();
  ++captures;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  Stream& s = stream_of(stream);
  *graph = nullptr;
  if (!s.capturing) return result(cudaErrorIllegalState);
  s.capturing = false;
  --captures;
  if (s.invalid) return result(cudaErrorStreamCaptureInvalidated);
  *graph = reinterpret_cast<cudaGraph_t>(new std::vector<Work>(std::move(s.recorded)));
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const Stream& s = stream_of(stream);
  *status = !s.capturing ? cudaStreamCaptureStatusNone
            : s.invalid  ? cudaStreamCaptureStatusInvalidated
                         : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  *exec = reinterpret_cast<cudaGraphExec_t>(
      new std::vector<Work>(*reinterpret_cast<std::vector<Work>*>(graph)));
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  return submit(stream, [exec] {
    for (const Work& work : *reinterpret_cast<std::vector<Work>*>(exec)) {
      const cudaError_t status = work();
      if (status != cudaSuccess) return status;
    }
    return cudaSuccess;
  });
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  delete reinterpret_cast<std::vector<Work>*>(exec);
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete reinterpret_cast<std::vector<Work>*>(graph);
  return cudaSuccess;
}

cudaError_t cudaMallocAsync(void** data, std::size_t bytes, cudaStream_t stream) {
  const cudaError_t allowed = forbid_capture(stream);
  if (allowed != cudaSuccess) return allowed;
  *data = allocate(bytes);
  return *data == nullptr ? result(cudaErrorMemoryAllocation) : cudaSuccess;
}
// Captured, it would free what the graph did not allocate.
cudaError_t cudaFreeAsync(void* data, cudaStream_t stream) {
  const cudaError_t allowed = forbid_capture(stream);
  if (allowed != cudaSuccess) return allowed;
  return release(data) ? cudaSuccess : result(cudaErrorInvalidValue);
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return submit_copy(stream, kind, [=] {
    void* out = side(to, bytes, to_device(kind));
    const void* in = side(from, bytes, from_device(kind));
    if (out == nullptr || in == nullptr) return cudaErrorInvalidValue;
    std::memmove(out, in, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from,
                              std::size_t from_pitch, std::size_t width, std::size_t height,
                              cudaMemcpyKind kind, cudaStream_t stream) {
  constexpr std::size_t most = std::numeric_limits<int>::max();
  if (to_pitch > most || from_pitch > most) return result(cudaErrorInvalidPitchValue);
  if (width == 0 || height == 0) return cudaSuccess;
  if (to_pitch < width || from_pitch < width) return result(cudaErrorInvalidPitchValue);
  return submit_copy(stream, kind, [=] {
    auto* out = static_cast<char*>(side(to, (height - 1) * to_pitch + width, to_device(kind)));
    auto* in = static_cast<char*>(side(from, (height - 1) * from_pitch + width, from_device(kind)));
    if (out == nullptr || in == nullptr) return cudaErrorInvalidValue;
    for (std::size_t i = 0; i < height; ++i) {
      std::memmove(out + i * to_pitch, in + i * from_pitch, width);
    }
    return cudaSuccess;
  });
}
cudaError_t cudaMemsetAsync(void* data, int value, std::size_t bytes, cudaStream_t stream) {
  return submit(stream, [=] {
    void* out = resolve(data, bytes);
    if (out == nullptr) return cudaErrorInvalidValue;
    std::memset(out, value, bytes);
    return cudaSuccess;
  });
}

}  // extern "C"
