// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_KERNEL_ARGUMENTS_HPP
#define LORMA_CUDA_KERNEL_ARGUMENTS_HPP

/// Views as lorma's kernels take them.

#include <type_traits>

#include "lorma/core/view.hpp"
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

}  // namespace lorma::inline LORMA_ABI::detail

#endif
