// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_CONFIG_HPP
#define LORMA_CORE_CONFIG_HPP

/// Build options and the ABI tag of the library.
///
/// A header-only library is compiled anew in every translation unit, each perhaps with other
/// instruction-set flags. Functions of one name but different code would then be merged by the
/// linker (an ODR violation that crashes on older machines), and Eigen objects allocated by one
/// would be freed by another with a different alignment. LORMA_ABI, the name of an inline namespace
/// around the whole library, therefore carries whatever changes code or layout: translation units
/// that disagree do not share symbols, and an attempt to link across them fails at link time.

#include <Eigen/Core>

#include "lorma/version.hpp"

#if defined(__AVX512F__)
#define LORMA_ABI_SIMD avx512
#elif defined(__AVX2__) && defined(__FMA__)
#define LORMA_ABI_SIMD avx2
#elif defined(__AVX__)
#define LORMA_ABI_SIMD avx
#else
#define LORMA_ABI_SIMD base
#endif

#if defined(EIGEN_USE_BLAS)
#define LORMA_ABI_GEMM blas
#else
#define LORMA_ABI_GEMM eigen
#endif

#if defined(_OPENMP)
#define LORMA_ABI_THREADS omp
#else
#define LORMA_ABI_THREADS seq
#endif

#if defined(LORMA_WITH_FFTW)
#define LORMA_ABI_FFT fftw
#else
#define LORMA_ABI_FFT own
#endif

#define LORMA_ABI_JOIN_(simd, align, gemm, threads, fft) \
  abi_##simd##_a##align##_##gemm##_##threads##_##fft
#define LORMA_ABI_JOIN(simd, align, gemm, threads, fft) \
  LORMA_ABI_JOIN_(simd, align, gemm, threads, fft)

/// Name of the inline namespace that holds everything: `namespace lorma::inline LORMA_ABI`.
#define LORMA_ABI                                                                          \
  LORMA_ABI_JOIN(LORMA_ABI_SIMD, EIGEN_MAX_ALIGN_BYTES, LORMA_ABI_GEMM, LORMA_ABI_THREADS, \
                 LORMA_ABI_FFT)

#endif
