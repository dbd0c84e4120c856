// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_CHECK_HPP
#define LORMA_CUDA_CHECK_HPP

/// Status codes of the CUDA libraries as BackendErrors that name the call.

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cufft.h>

#include "lorma/core/error.hpp"

namespace lorma::inline LORMA_ABI::detail {

[[noreturn]] inline void throw_cuda(std::string_view call, std::string_view words, int code) {
  throw BackendError("lorma::CuBlas: " + std::string(call) + " failed: " + std::string(words) +
                     " (" + std::to_string(code) + ")");
}

inline void check_cuda(std::string_view call, cudaError_t status) {
  if (status == cudaSuccess) return;
  if (status == cudaErrorInsufficientDriver || status == cudaErrorNoDevice) {
    throw BackendError("lorma::CuBlas: expected an NVIDIA GPU with a driver for CUDA " +
                       std::to_string(CUDART_VERSION / 1000) + "." +
                       std::to_string(CUDART_VERSION % 1000 / 10) +
                       ", got none: " + std::string(call) + ": " + cudaGetErrorString(status));
  }
  throw_cuda(call, cudaGetErrorString(status), static_cast<int>(status));
}

inline void check_cublas(std::string_view call, cublasStatus_t status) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw_cuda(call, cublasGetStatusString(status), static_cast<int>(status));
}

inline void check_cufft(std::string_view call, cufftResult status) {
  if (status == CUFFT_SUCCESS) return;
  std::string_view words = "unknown";
  switch (status) {
    case CUFFT_INVALID_PLAN:
      words = "invalid plan";
      break;
    case CUFFT_ALLOC_FAILED:
      words = "out of memory";
      break;
    case CUFFT_INVALID_VALUE:
      words = "invalid value";
      break;
    case CUFFT_INTERNAL_ERROR:
      words = "driver or internal error";
      break;
    case CUFFT_EXEC_FAILED:
      words = "execution failed";
      break;
    case CUFFT_SETUP_FAILED:
      words = "the library failed to start";
      break;
    case CUFFT_INVALID_SIZE:
      words = "unsupported length";
      break;
    default:
      break;
  }
  throw_cuda(call, words, static_cast<int>(status));
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
