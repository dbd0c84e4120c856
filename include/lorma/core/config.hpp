// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_CONFIG_HPP
#define LORMA_CORE_CONFIG_HPP

/// What lorma requires of the compiler, and the ABI tag of the library.
///
/// Every translation unit compiles the library anew, perhaps with different flags. The linker would
/// then merge functions that have the same name but different code: crashes on older machines, and
/// memory freed with a different alignment than it was allocated with. LORMA_ABI, the name of an
/// inline namespace around the whole library, therefore encodes everything that changes code or
/// layout (NDEBUG changes neither layout nor results): translation units that disagree share no
/// symbols.

#if !defined(__cpp_exceptions)
#error "lorma reports errors by exceptions: compile without -fno-exceptions (MSVC: with /EHsc)"
#endif

#include <Eigen/Core>

#include "lorma/version.hpp"

/// Defined if the compiler lacks GCC's and Clang's vector extensions; define it to do without them.
#if !defined(__GNUC__) && !defined(__clang__) && !defined(LORMA_NO_GNU_VECTORS)
#define LORMA_NO_GNU_VECTORS
#endif

#if defined(__AVX512F__)
#define LORMA_ABI_SIMD _avx512
#elif defined(__AVX2__)
#define LORMA_ABI_SIMD _avx2
#elif defined(__AVX__)
#define LORMA_ABI_SIMD _avx
#elif defined(__SSE4_2__)
#define LORMA_ABI_SIMD _sse4
#else
#define LORMA_ABI_SIMD _base
#endif

#if defined(_OPENMP)
#define LORMA_ABI_THREADS _omp
#else
#define LORMA_ABI_THREADS
#endif

/// LORMA_ABI_IF(macro, text) is the text if the macro is defined as 1 or as nothing.
#define LORMA_ABI_IF(macro, text) LORMA_ABI_IF_VALUE(macro, text)
#define LORMA_ABI_IF_VALUE(value, text) LORMA_ABI_SECOND(LORMA_ABI_SET_##value text, , )
#define LORMA_ABI_SET_1 ,
#define LORMA_ABI_SET_ ,
#define LORMA_ABI_SECOND(...) LORMA_ABI_SECOND_OF(__VA_ARGS__)
#define LORMA_ABI_SECOND_OF(first, second, ...) second

#define LORMA_ABI_JOIN(...) LORMA_ABI_JOINED(__VA_ARGS__)
#define LORMA_ABI_JOINED(a, b, c, d, e, f, g, h, i, j) a##b##c##d##e##f##g##h##i##j

#define LORMA_ABI_VERSIONS                                                                       \
  LORMA_ABI_JOIN(v, LORMA_VERSION_MAJOR, _, LORMA_VERSION_MINOR, _, LORMA_VERSION_PATCH, _eigen, \
                 EIGEN_WORLD_VERSION, _, EIGEN_MAJOR_VERSION)
#define LORMA_ABI_CPU                                                              \
  LORMA_ABI_JOIN(LORMA_ABI_SIMD, LORMA_ABI_IF(EIGEN_DONT_VECTORIZE, _scalar),      \
                 LORMA_ABI_IF(__FMA__, _fma), LORMA_ABI_IF(__F16C__, _f16c),       \
                 LORMA_ABI_IF(__BMI2__, _bmi2), LORMA_ABI_IF(__AVX512DQ__, _dq),   \
                 LORMA_ABI_IF(__AVX512BW__, _bw), LORMA_ABI_IF(__AVX512VL__, _vl), \
                 LORMA_ABI_IF(__AVX512FP16__, _fp16), LORMA_ABI_IF(__AVX512BF16__, _bf16))
#define LORMA_ABI_OPTIONS                                                                          \
  LORMA_ABI_JOIN(LORMA_ABI_THREADS, LORMA_ABI_IF(EIGEN_USE_BLAS, _blas),                           \
                 LORMA_ABI_IF(LORMA_WITH_LAPACKE, _lapacke), LORMA_ABI_IF(LORMA_WITH_FFTW, _fftw), \
                 LORMA_ABI_IF(LORMA_NO_GNU_VECTORS, _arrays),                                      \
                 LORMA_ABI_IF(EIGEN_DEFAULT_TO_ROW_MAJOR, _rows),                                  \
                 LORMA_ABI_IF(_GLIBCXX_DEBUG, _debug), LORMA_ABI_IF(__FAST_MATH__, _fast),         \
                 LORMA_ABI_IF(__FINITE_MATH_ONLY__, _finite),                                      \
                 LORMA_ABI_IF(LORMA_TORCH_CUBLAS, _torch_cublas))

/// The namespace of everything, `namespace lorma::inline LORMA_ABI`: for instance
/// v0_1_0_eigen3_4_avx2_fma_f16c_bmi2_a32_32_omp_blas.
#define LORMA_ABI                                                                 \
  LORMA_ABI_JOIN(LORMA_ABI_VERSIONS, LORMA_ABI_CPU, _a, EIGEN_MAX_ALIGN_BYTES, _, \
                 EIGEN_MAX_STATIC_ALIGN_BYTES, LORMA_ABI_OPTIONS, , , )

#endif
