// SPDX-License-Identifier: Apache-2.0
// lorma's own kernels, compiled for the host: the same functions of an index, in a loop.

#define lorma_cuda_copy host_copy
#define lorma_cuda_fill host_fill
#define lorma_cuda_add_identity host_add_identity
#define lorma_cuda_find_non_finite host_find_non_finite
#define lorma_cuda_spread host_spread
#define lorma_cuda_gather host_gather
#define lorma_cuda_correlate host_correlate
#define lorma_cuda_convolve host_convolve
#define lorma_cuda_gradient_A host_gradient_A
#define lorma_cuda_gradient_B host_gradient_B
#include <lorma/cuda/kernels.cuh>
#undef lorma_cuda_copy
#undef lorma_cuda_fill
#undef lorma_cuda_add_identity
#undef lorma_cuda_find_non_finite
#undef lorma_cuda_spread
#undef lorma_cuda_gather
#undef lorma_cuda_correlate
#undef lorma_cuda_convolve
#undef lorma_cuda_gradient_A
#undef lorma_cuda_gradient_B

#include <algorithm>

#include "arena.hpp"

namespace {

std::size_t bytes_of(LormaCudaType type) {
  return type == LORMA_CUDA_DOUBLE ? 8 : type == LORMA_CUDA_FLOAT ? 4 : 2;
}

/// The matrix at the addresses that the host may read; null data where it leaves its allocation.
LormaCudaMatrix visible(LormaCudaMatrix x) {
  if (x.rows == 0 || x.cols == 0) return x;
  const long long last = (x.rows - 1) * x.row_stride + (x.cols - 1) * x.col_stride;
  x.data = stand_in::resolve(x.data, static_cast<std::size_t>(last + 1) * bytes_of(x.type));
  return x;
}
void* visible(const void* data, long long numbers, LormaCudaType type) {
  return stand_in::resolve(data, static_cast<std::size_t>(numbers) * bytes_of(type));
}

template <typename... P>
bool missing(P... pointers) {
  return ((pointers == nullptr) || ...);
}

}  // namespace

extern "C" {

cudaError_t lorma_cuda_copy(cudaStream_t stream, LormaCudaMatrix from, LormaCudaMatrix to) {
  from = visible(from);
  to = visible(to);
  if (missing(from.data, to.data)) return cudaErrorIllegalAddress;
  return host_copy(stream, from, to);
}
cudaError_t lorma_cuda_fill(cudaStream_t stream, LormaCudaMatrix x, double value) {
  x = visible(x);
  return missing(x.data) ? cudaErrorIllegalAddress : host_fill(stream, x, value);
}
cudaError_t lorma_cuda_add_identity(cudaStream_t stream, LormaCudaMatrix x) {
  x = visible(x);
  return missing(x.data) ? cudaErrorIllegalAddress : host_add_identity(stream, x);
}
cudaError_t lorma_cuda_find_non_finite(cudaStream_t stream, LormaCudaMatrix x, int* flag) {
  x = visible(x);
  int* f = stand_in::resolve_as<int>(flag, 1);
  return missing(x.data, f) ? cudaErrorIllegalAddress : host_find_non_finite(stream, x, f);
}
cudaError_t lorma_cuda_spread(cudaStream_t stream, LormaCudaCirculants s, LormaCudaMatrix B,
                              LormaCudaMatrix G, void* t) {
  B = visible(B);
  G = visible(G);
  t = visible(t, s.n * s.r * s.b, s.type);
  return missing(B.data, G.data, t) ? cudaErrorIllegalAddress : host_spread(stream, s, B, G, t);
}
cudaError_t lorma_cuda_gather(cudaStream_t stream, LormaCudaCirculants s, double scale,
                              LormaCudaMatrix B, const void* u, LormaCudaMatrix H) {
  B = visible(B);
  H = visible(H);
  u = visible(u, s.n * s.r * s.b, s.type);
  return missing(B.data, H.data, u) ? cudaErrorIllegalAddress
                                    : host_gather(stream, s, scale, B, u, H);
}
cudaError_t lorma_cuda_correlate(cudaStream_t stream, LormaCudaCirculants s, const void* a,
                                 const void* y, void* z) {
  a = visible(a, 2 * s.m * s.r, s.type);
  y = visible(y, 2 * s.m * s.b, s.type);
  z = visible(z, 2 * s.m * s.r * s.b, s.type);
  return missing(a, y, z) ? cudaErrorIllegalAddress : host_correlate(stream, s, a, y, z);
}
cudaError_t lorma_cuda_convolve(cudaStream_t stream, LormaCudaCirculants s, const void* a,
                                const void* t, void* x) {
  a = visible(a, 2 * s.m * s.r, s.type);
  t = visible(t, 2 * s.m * s.r * s.b, s.type);
  x = visible(x, 2 * s.m * s.b, s.type);
  return missing(a, t, x) ? cudaErrorIllegalAddress : host_convolve(stream, s, a, t, x);
}
cudaError_t lorma_cuda_gradient_A(cudaStream_t stream, LormaCudaCirculants s, const void* t,
                                  const void* y, void* dA) {
  t = visible(t, 2 * s.m * s.r * s.b, s.type);
  y = visible(y, 2 * s.m * s.b, s.type);
  dA = visible(dA, 2 * s.m * s.r, s.type);
  return missing(t, y, dA) ? cudaErrorIllegalAddress : host_gradient_A(stream, s, t, y, dA);
}
cudaError_t lorma_cuda_gradient_B(cudaStream_t stream, LormaCudaCirculants s, LormaCudaMatrix G,
                                  const void* u, void* dB) {
  G = visible(G);
  u = visible(u, s.n * s.r * s.b, s.type);
  dB = visible(dB, s.n * s.r, s.type);
  return missing(G.data, u, dB) ? cudaErrorIllegalAddress : host_gradient_B(stream, s, G, u, dB);
}

}  // extern "C"
