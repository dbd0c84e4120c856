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

/// The runtime remembers a failure for the thread's next cudaGetLastError; what lorma has reported,
/// or swallowed, is nobody else's to find. An error that ended the CUDA context stays all the same.
inline void forget_last_error() noexcept {
  (void)cudaGetLastError();
}

inline void check_cuda(std::string_view call, cudaError_t status) {
  if (status == cudaSuccess) return;
  forget_last_error();
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

/// By number: the names differ between the versions of cuFFT, the numbers do not.
constexpr std::string_view cufft_words(int code) {
  switch (code) {
    case 0x0:
      return "success";
    case 0x1:
      return "invalid plan";
    case 0x2:
      return "out of memory";
    case 0x3:
      return "invalid type";
    case 0x4:
      return "invalid value";
    case 0x5:
      return "driver or internal error";
    case 0x6:
      return "execution failed";
    case 0x7:
      return "the library failed to start";
    case 0x8:
      return "unsupported length";
    case 0x9:
      return "unaligned data";
    case 0xA:
      return "incomplete parameter list";
    case 0xB:
      return "another device than the plan's";
    case 0xC:
      return "internal plan database error";
    case 0xD:
      return "no work area";
    case 0xE:
      return "not implemented";
    case 0xF:
      return "license error";
    case 0x10:
      return "not supported";
    case 0x11:
      return "a library that it needs is missing";
    case 0x12:
      return "its run-time compiler (NVRTC) failed";
    case 0x13:
      return "its run-time linker (nvJitLink) failed";
    case 0x14:
      return "NVSHMEM failed";
    default:
      return "unknown error";
  }
}

inline void check_cufft(std::string_view call, cufftResult status) {
  if (status == CUFFT_SUCCESS) return;
  throw_cuda(call, cufft_words(static_cast<int>(status)), static_cast<int>(status));
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
