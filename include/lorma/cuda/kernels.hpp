// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_KERNELS_HPP
#define LORMA_CUDA_KERNELS_HPP

/// What no library does: conversions, the rotation, fills, and the products of circulants that
/// stand between transforms. Declarations for any compiler; kernels.cuh defines them, which nvcc
/// compiles into one object. Plain C, because that object does not share the flags, and so not the
/// ABI tag, of its callers. Each returns the code of its own launch, never an older error.

#include <cuda_runtime_api.h>

extern "C" {

enum LormaCudaType { LORMA_CUDA_FLOAT, LORMA_CUDA_DOUBLE, LORMA_CUDA_HALF, LORMA_CUDA_BFLOAT16 };

/// rows x cols elements of the device; (i, j) lies at data[i row_stride + j col_stride].
struct LormaCudaMatrix {
  void* data;
  long long rows, cols, row_stride, col_stride;
  LormaCudaType type;
};

/// Sizes of one batch of circulant products: n long, m = n / 2 + 1 bins, r factors, b columns.
/// Arrays are dense: real ones n apart, spectra (re, im) m apart, column (q, c) at q + r c.
struct LormaCudaCirculants {
  long long n, m, r, b;
  LormaCudaType type;  ///< float or double
};

/// to = scale from; a scale of 1 leaves every number as it is.
cudaError_t lorma_cuda_copy(cudaStream_t, double scale, LormaCudaMatrix from, LormaCudaMatrix to);
/// to += scale from, where numbers of `from` are those of `to` or what its sums are kept in.
cudaError_t lorma_cuda_add(cudaStream_t, double scale, LormaCudaMatrix from, LormaCudaMatrix to);
cudaError_t lorma_cuda_fill(cudaStream_t, LormaCudaMatrix x, double value);
/// x += value I
cudaError_t lorma_cuda_add_identity(cudaStream_t, LormaCudaMatrix x, double value);
/// Row i of `to` is row i of `from` turned right by i (direction 1) or left by i (-1): both n x n
/// and of one type.
cudaError_t lorma_cuda_rotate(cudaStream_t, int direction, LormaCudaMatrix from,
                              LormaCudaMatrix to);
/// *flag (on the device) becomes 1 when an element is NaN or infinite.
cudaError_t lorma_cuda_find_non_finite(cudaStream_t, LormaCudaMatrix x, int* flag);
/// table[i] = pointers[i]: a table on the device from an array of the host, which is read before
/// the call returns.
cudaError_t lorma_cuda_write_pointers(cudaStream_t, const void* const* pointers, long long count,
                                      const void** table);

/// t(q, c) = B_q . G_c
cudaError_t lorma_cuda_spread(cudaStream_t, LormaCudaCirculants, LormaCudaMatrix B,
                              LormaCudaMatrix G, void* t);
/// H_c = scale sum_q B_q . u(q, c)
cudaError_t lorma_cuda_gather(cudaStream_t, LormaCudaCirculants, double scale, LormaCudaMatrix B,
                              const void* u, LormaCudaMatrix H);
/// z(q, c) = conj(a_q) y_c
cudaError_t lorma_cuda_correlate(cudaStream_t, LormaCudaCirculants, const void* a, const void* y,
                                 void* z);
/// x_c = sum_q a_q t(q, c)
cudaError_t lorma_cuda_convolve(cudaStream_t, LormaCudaCirculants, const void* a, const void* t,
                                void* x);
/// dA_q += sum_c conj(t(q, c)) y_c
cudaError_t lorma_cuda_gradient_A(cudaStream_t, LormaCudaCirculants, const void* t, const void* y,
                                  void* dA);
/// dB_q += sum_c G_c . u(q, c)
cudaError_t lorma_cuda_gradient_B(cudaStream_t, LormaCudaCirculants, LormaCudaMatrix G,
                                  const void* u, void* dB);

}  // extern "C"

#endif
