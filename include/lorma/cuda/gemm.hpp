// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_GEMM_HPP
#define LORMA_CUDA_GEMM_HPP

/// Products of views by cuBLAS. Views of any order become its column-major operands by transposing
/// the product, never the data; a leading dimension of 2n - 1 is one like any other.

#include <algorithm>
#include <cstdint>
#include <vector>

#include "lorma/core/view.hpp"
#include "lorma/cuda/context.hpp"
#include "lorma/cuda/device_workspace.hpp"
#include "lorma/cuda/kernels.hpp"

#if CUDART_VERSION < 12050
#error "lorma: the backend CuBlas needs CUDA 12.5 or newer (64-bit and grouped GEMM)"
#endif

namespace lorma::inline LORMA_ABI::detail {

template <typename S>
constexpr cudaDataType_t cuda_type() {
  if constexpr (std::same_as<S, double>) return CUDA_R_64F;
  if constexpr (std::same_as<S, Eigen::half>) return CUDA_R_16F;
  if constexpr (std::same_as<S, Eigen::bfloat16>) return CUDA_R_16BF;
  return CUDA_R_32F;
}

template <typename S>
cublasComputeType_t compute_type(const CudaContext& context) {
  if constexpr (std::same_as<S, double>) return CUBLAS_COMPUTE_64F;
  if (std::same_as<S, float> && context.tf32() == Tf32::allowed) {
    return CUBLAS_COMPUTE_32F_FAST_TF32;
  }
  return CUBLAS_COMPUTE_32F;
}

/// One product in cuBLAS's terms.
template <typename S>
struct CublasProduct {
  cublasOperation_t op_A, op_B;
  std::int64_t m, n, k;
  const S* A;
  std::int64_t lda;
  const S* B;
  std::int64_t ldb;
  S* C;
  std::int64_t ldc;

  /// C = A B, or C^T = B^T A^T where C is row-major.
  static CublasProduct of(const MatrixView<const S>& A, const MatrixView<const S>& B,
                          const MatrixView<S>& C) {
    if (!C.col_major()) return of(B.transposed(), A.transposed(), C.transposed());
    const auto op = [](const MatrixView<const S>& X) {
      return X.col_major() ? CUBLAS_OP_N : CUBLAS_OP_T;
    };
    // cuBLAS checks leading dimensions even of operands with a single line.
    const auto ld = [](const auto& X) {
      return std::max<std::int64_t>({1, X.ld, X.col_major() ? X.rows : X.cols});
    };
    return {op(A), op(B), C.rows, C.cols, A.cols, A.data, ld(A), B.data, ld(B), C.data, ld(C)};
  }
};

template <typename S>
void cublas_gemm(const CudaContext& context, Accumulator<S> alpha, const MatrixView<const S>& A,
                 const MatrixView<const S>& B, Accumulator<S> beta, const MatrixView<S>& C) {
  const auto p = CublasProduct<S>::of(A, B, C);
  constexpr cudaDataType_t type = cuda_type<S>();
  check_cublas("cublasGemmEx",
               cublasGemmEx_64(context.handle(), p.op_A, p.op_B, p.m, p.n, p.k, &alpha, p.A, type,
                               p.lda, p.B, type, p.ldb, &beta, p.C, type, p.ldc,
                               compute_type<S>(context), CUBLAS_GEMM_DEFAULT));
}

/// y = alpha A x + beta y for float and double, where y and x are single columns.
template <ComputeScalar S>
void cublas_gemv(const CudaContext& context, S alpha, const MatrixView<const S>& A,
                 const MatrixView<const S>& x, S beta, const MatrixView<S>& y) {
  const auto op = A.col_major() ? CUBLAS_OP_N : CUBLAS_OP_T;
  const std::int64_t m = A.col_major() ? A.rows : A.cols;
  const std::int64_t n = A.col_major() ? A.cols : A.rows;
  const std::int64_t ld = std::max<std::int64_t>({1, A.ld, m});
  if constexpr (std::same_as<S, float>) {
    check_cublas("cublasSgemv",
                 cublasSgemv_64(context.handle(), op, m, n, &alpha, A.data, ld, x.data,
                                x.row_stride(), &beta, y.data, y.row_stride()));
  } else {
    check_cublas("cublasDgemv",
                 cublasDgemv_64(context.handle(), op, m, n, &alpha, A.data, ld, x.data,
                                x.row_stride(), &beta, y.data, y.row_stride()));
  }
}

/// to = from, both dense in different orders.
template <ComputeScalar S>
void cublas_transpose(const CudaContext& context, const MatrixView<const S>& from,
                      const MatrixView<S>& to) {
  const MatrixView<S> out = to.col_major() ? to : to.transposed();
  const std::int64_t ld = std::max<std::int64_t>(1, from.ld);
  const S one = 1;
  const S zero = 0;
  if constexpr (std::same_as<S, float>) {
    check_cublas("cublasSgeam",
                 cublasSgeam_64(context.handle(), CUBLAS_OP_T, CUBLAS_OP_N, out.rows, out.cols,
                                &one, from.data, ld, &zero, out.data, out.ld, out.data, out.ld));
  } else {
    check_cublas("cublasDgeam",
                 cublasDgeam_64(context.handle(), CUBLAS_OP_T, CUBLAS_OP_N, out.rows, out.cols,
                                &one, from.data, ld, &zero, out.data, out.ld, out.data, out.ld));
  }
}

/// What cuBLAS's documentation asks of the pointers of a grouped call in 16-bit types and in TF32.
template <typename S>
bool aligned_for_group(const CublasProduct<S>& p) {
  const auto line = static_cast<std::uint64_t>(p.k) * sizeof(S);
  const std::uintptr_t wanted = line % 16 == 0 ? 16 : line % 4 == 0 ? 4 : 1;
  const auto fits = [wanted](const void* pointer) {
    return reinterpret_cast<std::uintptr_t>(pointer) % wanted == 0;
  };
  return fits(p.A) && fits(p.B) && fits(p.C);
}

/// C_i = alpha_i A_i B_i + beta C_i for all i in one grouped call; one call each where a pointer is
/// not aligned as the grouped one needs it, and while a stream is captured, where host arrays could
/// be read late. Allocates on the host.
template <typename S>
void cublas_gemm_grouped(DeviceWorkspace& workspace, const std::vector<Accumulator<S>>& alpha,
                         const std::vector<MatrixView<const S>>& A,
                         const std::vector<MatrixView<const S>>& B, Accumulator<S> beta,
                         const std::vector<MatrixView<S>>& C) {
  const CudaContext& context = workspace.context();
  const cublasComputeType_t compute = compute_type<S>(context);
  std::vector<CublasProduct<S>> products;
  std::vector<Accumulator<S>> alphas;
  bool group = !context.capturing();
  for (std::size_t i = 0; i < C.size(); ++i) {
    if (C[i].empty()) continue;
    products.push_back(CublasProduct<S>::of(A[i], B[i], C[i]));
    alphas.push_back(alpha[i]);
    if (StorageOnlyScalar<S> || compute == CUBLAS_COMPUTE_32F_FAST_TF32) {
      group = group && aligned_for_group(products.back());
    }
  }
  if (products.size() < 2 || !group) {
    for (std::size_t i = 0; i < C.size(); ++i) {
      if (!C[i].empty()) cublas_gemm<S>(context, alpha[i], A[i], B[i], beta, C[i]);
    }
    return;
  }
  const auto count = static_cast<std::int64_t>(products.size());
  const auto gather = [&](auto member) {
    std::vector<std::remove_cvref_t<decltype(products[0].*member)>> values;
    for (const auto& p : products) values.push_back(p.*member);
    return values;
  };
  using P = CublasProduct<S>;
  std::vector<const void*> pointers;
  for (const auto& p : products) pointers.push_back(p.A);
  for (const auto& p : products) pointers.push_back(p.B);
  for (const auto& p : products) pointers.push_back(p.C);
  const auto frame = workspace.frame();
  const void** table = workspace.take_array<const void*>(3 * count);
  check_cuda("lorma_cuda_write_pointers",
             lorma_cuda_write_pointers(context.stream(), pointers.data(), 3 * count, table));
  const std::vector<Accumulator<S>> betas(products.size(), beta);
  const std::vector<std::int64_t> ones(products.size(), 1);
  constexpr cudaDataType_t type = cuda_type<S>();
  check_cublas(
      "cublasGemmGroupedBatchedEx",
      cublasGemmGroupedBatchedEx_64(
          context.handle(), gather(&P::op_A).data(), gather(&P::op_B).data(), gather(&P::m).data(),
          gather(&P::n).data(), gather(&P::k).data(), alphas.data(), table, type,
          gather(&P::lda).data(), table + count, type, gather(&P::ldb).data(), betas.data(),
          const_cast<void* const*>(reinterpret_cast<const void* const*>(table + 2 * count)), type,
          gather(&P::ldc).data(), count, ones.data(), compute));
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
