// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_KERNEL_ARGUMENTS_HPP
#define LORMA_CUDA_KERNEL_ARGUMENTS_HPP

/// Views and sizes as lorma's kernels take them.

#include <type_traits>

#include "lorma/core/view.hpp"
#include "lorma/cuda/context.hpp"
#include "lorma/cuda/kernels.hpp"

namespace lorma::inline LORMA_ABI::detail {

template <typename S>
constexpr LormaCudaType kernel_type() {
  if constexpr (std::same_as<S, double>) return LORMA_CUDA_DOUBLE;
  if constexpr (std::same_as<S, Eigen::half>) return LORMA_CUDA_HALF;
  if constexpr (std::same_as<S, Eigen::bfloat16>) return LORMA_CUDA_BFLOAT16;
  return LORMA_CUDA_FLOAT;
}

template <typename T>
LormaCudaMatrix kernel_matrix(const MatrixView<T>& v) {
  using S = std::remove_const_t<T>;
  return {const_cast<S*>(v.data), v.rows, v.cols, v.row_stride(), v.col_stride(), kernel_type<S>()};
}

/// r factors of length n and b columns, whose transforms are in R.
template <typename R>
LormaCudaCirculants circulant_sizes(Index n, Index r, Index b) {
  return {n, n / 2 + 1, r, b, kernel_type<R>()};
}

/// to = scale from, converting and rounding once.
template <typename T, typename U>
void kernel_copy(const CudaContext& context, double scale, const MatrixView<T>& from,
                 const MatrixView<U>& to) {
  check_cuda("lorma_cuda_copy",
             lorma_cuda_copy(context.stream(), scale, kernel_matrix(from), kernel_matrix(to)));
}
/// to += scale from, likewise.
template <typename T, typename U>
void kernel_add(const CudaContext& context, double scale, const MatrixView<T>& from,
                const MatrixView<U>& to) {
  check_cuda("lorma_cuda_add",
             lorma_cuda_add(context.stream(), scale, kernel_matrix(from), kernel_matrix(to)));
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
