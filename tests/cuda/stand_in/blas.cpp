// SPDX-License-Identifier: Apache-2.0
// The part of cuBLAS that lorma calls, on the host: the checks that cuBLAS makes, sums in double.

#include <cublas_v2.h>

#include <Eigen/Core>
#include <algorithm>
#include <bit>
#include <vector>

#include "arena.hpp"
#include "queue.hpp"

namespace {

using Int = std::int64_t;

std::size_t bytes_of(cudaDataType type) {
  return type == CUDA_R_64F ? 8 : type == CUDA_R_32F ? 4 : 2;
}

double read(const void* data, Int i, cudaDataType type) {
  switch (type) {
    case CUDA_R_64F:
      return static_cast<const double*>(data)[i];
    case CUDA_R_32F:
      return static_cast<const float*>(data)[i];
    case CUDA_R_16F:
      return static_cast<float>(static_cast<const Eigen::half*>(data)[i]);
    default:
      return static_cast<float>(static_cast<const Eigen::bfloat16*>(data)[i]);
  }
}
/// To the nearest number of 10 bits of mantissa, as tensor cores read floats in TF32.
double tf32(double x) {
  auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(x));
  bits += 0xfff + ((bits >> 13) & 1);
  return std::bit_cast<float>(bits & ~std::uint32_t(0x1fff));
}
void write(void* data, Int i, cudaDataType type, double value) {
  switch (type) {
    case CUDA_R_64F:
      static_cast<double*>(data)[i] = value;
      break;
    case CUDA_R_32F:
      static_cast<float*>(data)[i] = static_cast<float>(value);
      break;
    case CUDA_R_16F:
      static_cast<Eigen::half*>(data)[i] = Eigen::half(static_cast<float>(value));
      break;
    default:
      static_cast<Eigen::bfloat16*>(data)[i] = Eigen::bfloat16(static_cast<float>(value));
  }
}
double scalar(const void* value, cublasComputeType_t compute) {
  return compute == CUBLAS_COMPUTE_64F ? *static_cast<const double*>(value)
                                       : static_cast<double>(*static_cast<const float*>(value));
}

/// Memory of a column-major rows x cols matrix, or null.
void* matrix(const void* data, Int rows, Int cols, Int ld, std::size_t size) {
  if (rows == 0 || cols == 0) return const_cast<void*>(data);
  return stand_in::resolve(data, static_cast<std::size_t>((cols - 1) * ld + rows) * size);
}

cublasStatus_t gemm(cublasOperation_t op_A, cublasOperation_t op_B, Int m, Int n, Int k,
                    double alpha, const void* A, cudaDataType type_A, Int lda, const void* B,
                    cudaDataType type_B, Int ldb, double beta, void* C, cudaDataType type_C,
                    Int ldc, cublasComputeType_t compute) {
  const bool transpose_A = op_A != CUBLAS_OP_N;
  const bool transpose_B = op_B != CUBLAS_OP_N;
  const Int rows_A = transpose_A ? k : m;
  const Int rows_B = transpose_B ? n : k;
  if (m < 0 || n < 0 || k < 0 || lda < std::max<Int>(1, rows_A) || ldb < std::max<Int>(1, rows_B) ||
      ldc < std::max<Int>(1, m)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  if (type_A != type_B || type_A != type_C) return CUBLAS_STATUS_NOT_SUPPORTED;
  if ((type_A == CUDA_R_64F) != (compute == CUBLAS_COMPUTE_64F)) return CUBLAS_STATUS_NOT_SUPPORTED;
  const std::size_t size = bytes_of(type_A);
  const void* a = matrix(A, rows_A, transpose_A ? m : k, lda, size);
  const void* b = matrix(B, rows_B, transpose_B ? k : n, ldb, size);
  void* c = matrix(C, m, n, ldc, size);
  if (a == nullptr || b == nullptr || c == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  const bool rounds = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  for (Int j = 0; j < n; ++j) {
    for (Int i = 0; i < m; ++i) {
      double sum = 0;
      for (Int l = 0; l < k; ++l) {
        const double x = read(a, transpose_A ? l + i * lda : i + l * lda, type_A);
        const double y = read(b, transpose_B ? j + l * ldb : l + j * ldb, type_B);
        sum += rounds ? tf32(x) * tf32(y) : x * y;
      }
      // beta = 0 does not read C.
      const double old = beta == 0.0 ? 0.0 : beta * read(c, i + j * ldc, type_C);
      write(c, i + j * ldc, type_C, alpha * sum + old);
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

template <typename S>
cublasStatus_t gemv(cudaDataType type, cublasOperation_t op, Int m, Int n, S alpha, const S* A,
                    Int lda, const S* x, Int incx, S beta, S* y, Int incy) {
  const bool transpose = op != CUBLAS_OP_N;
  const Int rows = transpose ? n : m;
  const Int cols = transpose ? m : n;
  if (lda < std::max<Int>(1, m) || incx < 1 || incy < 1) return CUBLAS_STATUS_INVALID_VALUE;
  const void* a = matrix(A, m, n, lda, sizeof(S));
  const void* in = matrix(x, 1, cols, incx, sizeof(S));
  void* out = matrix(y, 1, rows, incy, sizeof(S));
  if (a == nullptr || in == nullptr || out == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  for (Int i = 0; i < rows; ++i) {
    double sum = 0;
    for (Int l = 0; l < cols; ++l) {
      sum += read(a, transpose ? l + i * lda : i + l * lda, type) * read(in, l * incx, type);
    }
    const double old = beta == S(0) ? 0.0 : double(beta) * read(out, i * incy, type);
    write(out, i * incy, type, double(alpha) * sum + old);
  }
  return CUBLAS_STATUS_SUCCESS;
}

template <typename S>
cublasStatus_t geam(cudaDataType type, cublasOperation_t op_A, cublasOperation_t op_B, Int m, Int n,
                    S alpha, const S* A, Int lda, S beta, Int ldb, S* C, Int ldc) {
  const bool transpose = op_A != CUBLAS_OP_N;
  if (op_B != CUBLAS_OP_N || beta != S(0)) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (lda < std::max<Int>(1, transpose ? n : m) || ldb < std::max<Int>(1, m) ||
      ldc < std::max<Int>(1, m)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const void* a = matrix(A, transpose ? n : m, transpose ? m : n, lda, sizeof(S));
  void* c = matrix(C, m, n, ldc, sizeof(S));
  if (a == nullptr || c == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  for (Int j = 0; j < n; ++j) {
    for (Int i = 0; i < m; ++i) {
      write(c, i + j * ldc, type,
            double(alpha) * read(a, transpose ? j + i * lda : i + j * lda, type));
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

struct Handle {
  int device;
  cudaStream_t stream;
};
Handle& handle_of(cublasHandle_t handle) {
  return *reinterpret_cast<Handle*>(handle);
}

/// Runs or records a call; the handle belongs to the device on which it was made.
template <typename F>
cublasStatus_t submit(cublasHandle_t handle, F call) {
  if (handle_of(handle).device != stand_in::current_device()) return CUBLAS_STATUS_ARCH_MISMATCH;
  cublasStatus_t status = CUBLAS_STATUS_SUCCESS;
  const bool captured = stand_in::stream_of(handle_of(handle).stream).capturing;
  const cudaError_t queued = stand_in::submit(handle_of(handle).stream, [&status, captured, call] {
    const cublasStatus_t own = call();
    if (!captured) status = own;
    return captured && own != CUBLAS_STATUS_SUCCESS ? cudaErrorIllegalAddress : cudaSuccess;
  });
  return queued == cudaSuccess ? status : CUBLAS_STATUS_EXECUTION_FAILED;
}

/// What the documentation asks of every pointer of a grouped call in 16-bit types and TF32; the
/// real library reads at misaligned addresses.
bool aligned(const void* pointer, Int k, std::size_t size) {
  const std::size_t line = static_cast<std::size_t>(k) * size;
  const auto address = reinterpret_cast<std::uintptr_t>(pointer);
  return address % 16 == 0 || (line % 16 != 0 && (line % 4 != 0 || address % 4 == 0));
}

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = reinterpret_cast<cublasHandle_t>(new Handle{stand_in::current_device(), nullptr});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  delete &handle_of(handle);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  handle_of(handle).stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void*, size_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t, cublasMath_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t, cublasAtomicsMode_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetPointerMode_v2(cublasHandle_t, cublasPointerMode_t) {
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_INVALID_VALUE ? "an invalid value" : "not supported";
}

cublasStatus_t cublasGemmEx_64(cublasHandle_t handle, cublasOperation_t op_A,
                               cublasOperation_t op_B, int64_t m, int64_t n, int64_t k,
                               const void* alpha, const void* A, cudaDataType type_A, int64_t lda,
                               const void* B, cudaDataType type_B, int64_t ldb, const void* beta,
                               void* C, cudaDataType type_C, int64_t ldc,
                               cublasComputeType_t compute, cublasGemmAlgo_t) {
  ++stand_in::counters().products;
  return submit(handle, [=, x = scalar(alpha, compute), y = scalar(beta, compute)] {
    return gemm(op_A, op_B, m, n, k, x, A, type_A, lda, B, type_B, ldb, y, C, type_C, ldc, compute);
  });
}

cublasStatus_t cublasGemmGroupedBatchedEx_64(
    cublasHandle_t handle, const cublasOperation_t op_A[], const cublasOperation_t op_B[],
    const int64_t m[], const int64_t n[], const int64_t k[], const void* alpha,
    const void* const A[], cudaDataType_t type_A, const int64_t lda[], const void* const B[],
    cudaDataType_t type_B, const int64_t ldb[], const void* beta, void* const C[],
    cudaDataType_t type_C, const int64_t ldc[], int64_t group_count, const int64_t group_size[],
    cublasComputeType_t compute) {
  ++stand_in::counters().grouped_products;
  // Whether the host arrays may be gone when a graph is launched is not documented.
  if (stand_in::forbid_capture(handle_of(handle).stream) != cudaSuccess) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  const std::size_t size = compute == CUBLAS_COMPUTE_64F ? 8 : 4;
  const bool aligns = bytes_of(type_A) == 2 || compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  std::size_t problem = 0;
  Int problems = 0;
  for (Int g = 0; g < group_count; ++g) problems += group_size[g];
  const auto pointers = [problems](const void* device) {
    return stand_in::resolve_as<void*>(device, static_cast<std::size_t>(problems));
  };
  void** a = pointers(A);
  void** b = pointers(B);
  void** c = pointers(const_cast<void**>(C));
  if (a == nullptr || b == nullptr || c == nullptr) return CUBLAS_STATUS_INVALID_VALUE;
  for (Int g = 0; g < group_count; ++g) {
    const auto at = [g, size](const void* array) {
      return static_cast<const char*>(array) + static_cast<std::size_t>(g) * size;
    };
    for (Int i = 0; i < group_size[g]; ++i, ++problem) {
      for (const void* pointer : {a[problem], b[problem], c[problem]}) {
        if (aligns && !aligned(pointer, k[g], bytes_of(type_A))) {
          return CUBLAS_STATUS_EXECUTION_FAILED;
        }
      }
      const auto status = gemm(op_A[g], op_B[g], m[g], n[g], k[g], scalar(at(alpha), compute),
                               a[problem], type_A, lda[g], b[problem], type_B, ldb[g],
                               scalar(at(beta), compute), c[problem], type_C, ldc[g], compute);
      if (status != CUBLAS_STATUS_SUCCESS) return status;
    }
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasSgemv_v2_64(cublasHandle_t handle, cublasOperation_t op, int64_t m, int64_t n,
                                 const float* alpha, const float* A, int64_t lda, const float* x,
                                 int64_t incx, const float* beta, float* y, int64_t incy) {
  ++stand_in::counters().products;
  return submit(handle, [=, p = *alpha, q = *beta] {
    return gemv(CUDA_R_32F, op, m, n, p, A, lda, x, incx, q, y, incy);
  });
}
cublasStatus_t cublasDgemv_v2_64(cublasHandle_t handle, cublasOperation_t op, int64_t m, int64_t n,
                                 const double* alpha, const double* A, int64_t lda, const double* x,
                                 int64_t incx, const double* beta, double* y, int64_t incy) {
  ++stand_in::counters().products;
  return submit(handle, [=, p = *alpha, q = *beta] {
    return gemv(CUDA_R_64F, op, m, n, p, A, lda, x, incx, q, y, incy);
  });
}
cublasStatus_t cublasSgeam_64(cublasHandle_t handle, cublasOperation_t op_A, cublasOperation_t op_B,
                              int64_t m, int64_t n, const float* alpha, const float* A, int64_t lda,
                              const float* beta, const float*, int64_t ldb, float* C, int64_t ldc) {
  return submit(handle, [=, p = *alpha, q = *beta] {
    return geam(CUDA_R_32F, op_A, op_B, m, n, p, A, lda, q, ldb, C, ldc);
  });
}
cublasStatus_t cublasDgeam_64(cublasHandle_t handle, cublasOperation_t op_A, cublasOperation_t op_B,
                              int64_t m, int64_t n, const double* alpha, const double* A,
                              int64_t lda, const double* beta, const double*, int64_t ldb,
                              double* C, int64_t ldc) {
  return submit(handle, [=, p = *alpha, q = *beta] {
    return geam(CUDA_R_64F, op_A, op_B, m, n, p, A, lda, q, ldb, C, ldc);
  });
}

}  // extern "C"
