// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_CUDA_STAND_IN_QUEUE_HPP
#define LORMA_TESTS_CUDA_STAND_IN_QUEUE_HPP

/// Streams of two devices. Work runs when it is queued; while its stream is captured it is recorded
/// instead, and runs when the graph is launched, with the addresses looked up then.

#include <cuda_runtime_api.h>

#include <functional>
#include <vector>

namespace stand_in {

using Work = std::function<cudaError_t()>;

struct Stream {
  int device = 0;
  bool capturing = false;
  bool invalid = false;  ///< something was called that a capture does not allow
  std::vector<Work> recorded = {};
};

Stream& stream_of(cudaStream_t stream);
int& current_device();
/// Whether any stream is being captured.
bool any_capture();

/// Remembers a failure for cudaGetLastError.
cudaError_t result(cudaError_t status);

/// Runs the work on the stream, or records it. Refuses a stream of another device than the current.
cudaError_t submit(cudaStream_t stream, const Work& work);

/// For calls that no capture allows: cudaSuccess outside of one, otherwise the capture is lost.
cudaError_t forbid_capture(cudaStream_t stream);

}  // namespace stand_in

#endif
