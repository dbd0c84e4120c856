// SPDX-License-Identifier: Apache-2.0
// lorma's own kernels, compiled for the host: the same functions of an index, in a loop over the
// same threads.

#define lorma_cuda_copy host_copy
#define lorma_cuda_add host_add
#define lorma_cuda_fill host_fill
#define lorma_cuda_add_identity host_add_identity
#define lorma_cuda_rotate host_rotate
#define lorma_cuda_find_non_finite host_find_non_finite
#define lorma_cuda_write_pointers host_write_pointers
#define lorma_cuda_spread host_spread
#define lorma_cuda_gather host_gather
#define lorma_cuda_correlate host_correlate
#define lorma_cuda_convolve host_convolve
#define lorma_cuda_gradient_A host_gradient_A
#define lorma_cuda_gradient_B host_gradient_B
#include <lorma/cuda/kernels.cuh>
#undef lorma_cuda_copy
#undef lorma_cuda_add
#undef lorma_cuda_fill
#undef lorma_cuda_add_identity
#undef lorma_cuda_rotate
#undef lorma_cuda_find_non_finite
#undef lorma_cuda_write_pointers
#undef lorma_cuda_spread
#undef lorma_cuda_gather
#undef lorma_cuda_correlate
#undef lorma_cuda_convolve
#undef lorma_cuda_gradient_A
#undef lorma_cuda_gradient_B

#include <algorithm>
#include <vector>

#include "arena.hpp"
#include "queue.hpp"

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

/// A dense array of an argument.
struct Array {
  const void* data;
  long long numbers;
};
void* visible(const Array& array, LormaCudaType type) {
  return stand_in::resolve(array.data, static_cast<std::size_t>(array.numbers) * bytes_of(type));
}

template <typename... P>
bool missing(P... pointers) {
  return ((pointers == nullptr) || ...);
}

}  // namespace

extern "C" {

cudaError_t lorma_cuda_copy(cudaStream_t stream, double scale, LormaCudaMatrix from,
                            LormaCudaMatrix to) {
  return stand_in::submit(stream, [=] {
    const auto in = visible(from), out = visible(to);
    if (missing(in.data, out.data)) return cudaErrorIllegalAddress;
    return host_copy(stream, scale, in, out);
  });
}
cudaError_t lorma_cuda_add(cudaStream_t stream, double scale, LormaCudaMatrix from,
                           LormaCudaMatrix to) {
  return stand_in::submit(stream, [=] {
    const auto in = visible(from), out = visible(to);
    if (missing(in.data, out.data)) return cudaErrorIllegalAddress;
    return host_add(stream, scale, in, out);
  });
}
cudaError_t lorma_cuda_fill(cudaStream_t stream, LormaCudaMatrix x, double value) {
  return stand_in::submit(stream, [=] {
    const auto out = visible(x);
    return missing(out.data) ? cudaErrorIllegalAddress : host_fill(stream, out, value);
  });
}
cudaError_t lorma_cuda_add_identity(cudaStream_t stream, LormaCudaMatrix x, double value) {
  return stand_in::submit(stream, [=] {
    const auto out = visible(x);
    return missing(out.data) ? cudaErrorIllegalAddress : host_add_identity(stream, out, value);
  });
}
cudaError_t lorma_cuda_rotate(cudaStream_t stream, int direction, LormaCudaMatrix from,
                              LormaCudaMatrix to) {
  return stand_in::submit(stream, [=] {
    const auto in = visible(from), out = visible(to);
    if (missing(in.data, out.data)) return cudaErrorIllegalAddress;
    return host_rotate(stream, direction, in, out);
  });
}
cudaError_t lorma_cuda_find_non_finite(cudaStream_t stream, LormaCudaMatrix x, int* flag) {
  return stand_in::submit(stream, [=] {
    const auto in = visible(x);
    int* f = stand_in::resolve_as<int>(flag, 1);
    return missing(in.data, f) ? cudaErrorIllegalAddress : host_find_non_finite(stream, in, f);
  });
}
cudaError_t lorma_cuda_write_pointers(cudaStream_t stream, const void* const* pointers,
                                      long long count, const void** table) {
  const std::vector<const void*> arguments(pointers, pointers + count);
  return stand_in::submit(stream, [=] {
    auto** out = stand_in::resolve_as<const void*>(table, static_cast<std::size_t>(count));
    if (missing(out)) return cudaErrorIllegalAddress;
    return host_write_pointers(stream, arguments.data(), count, out);
  });
}
cudaError_t lorma_cuda_spread(cudaStream_t stream, LormaCudaCirculants s, LormaCudaMatrix B,
                              LormaCudaMatrix G, void* t) {
  return stand_in::submit(stream, [=] {
    const auto b = visible(B), g = visible(G);
    void* out = visible({t, s.n * s.r * s.b}, s.type);
    if (missing(b.data, g.data, out)) return cudaErrorIllegalAddress;
    return host_spread(stream, s, b, g, out);
  });
}
cudaError_t lorma_cuda_gather(cudaStream_t stream, LormaCudaCirculants s, double scale,
                              LormaCudaMatrix B, const void* u, LormaCudaMatrix H) {
  return stand_in::submit(stream, [=] {
    const auto b = visible(B), h = visible(H);
    const void* in = visible({u, s.n * s.r * s.b}, s.type);
    if (missing(b.data, h.data, in)) return cudaErrorIllegalAddress;
    return host_gather(stream, s, scale, b, in, h);
  });
}
cudaError_t lorma_cuda_correlate(cudaStream_t stream, LormaCudaCirculants s, const void* a,
                                 const void* y, void* z) {
  return stand_in::submit(stream, [=] {
    const void* spectra = visible({a, 2 * s.m * s.r}, s.type);
    const void* in = visible({y, 2 * s.m * s.b}, s.type);
    void* out = visible({z, 2 * s.m * s.r * s.b}, s.type);
    if (missing(spectra, in, out)) return cudaErrorIllegalAddress;
    return host_correlate(stream, s, spectra, in, out);
  });
}
cudaError_t lorma_cuda_convolve(cudaStream_t stream, LormaCudaCirculants s, const void* a,
                                const void* t, void* x) {
  return stand_in::submit(stream, [=] {
    const void* spectra = visible({a, 2 * s.m * s.r}, s.type);
    const void* in = visible({t, 2 * s.m * s.r * s.b}, s.type);
    void* out = visible({x, 2 * s.m * s.b}, s.type);
    if (missing(spectra, in, out)) return cudaErrorIllegalAddress;
    return host_convolve(stream, s, spectra, in, out);
  });
}
cudaError_t lorma_cuda_gradient_A(cudaStream_t stream, LormaCudaCirculants s, const void* t,
                                  const void* y, void* dA) {
  return stand_in::submit(stream, [=] {
    const void* products = visible({t, 2 * s.m * s.r * s.b}, s.type);
    const void* in = visible({y, 2 * s.m * s.b}, s.type);
    void* out = visible({dA, 2 * s.m * s.r}, s.type);
    if (missing(products, in, out)) return cudaErrorIllegalAddress;
    return host_gradient_A(stream, s, products, in, out);
  });
}
cudaError_t lorma_cuda_gradient_B(cudaStream_t stream, LormaCudaCirculants s, LormaCudaMatrix G,
                                  const void* u, void* dB) {
  return stand_in::submit(stream, [=] {
    const auto g = visible(G);
    const void* in = visible({u, s.n * s.r * s.b}, s.type);
    void* out = visible({dB, s.n * s.r}, s.type);
    if (missing(g.data, in, out)) return cudaErrorIllegalAddress;
    return host_gradient_B(stream, s, g, in, out);
  });
}

}  // extern "C"
