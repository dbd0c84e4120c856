// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_ENGINE_HPP
#define LORMA_FFT_ENGINE_HPP

/// Which engine transforms: lorma's own, or FFTW where LORMA_WITH_FFTW is defined.
///
/// An engine is a plan (length(), spectrum_size(), scratch_size()) with the functions of
/// fft/transform.hpp; the order of its spectrum is its own affair.

#include "lorma/fft/plan_cache.hpp"
#ifdef LORMA_WITH_FFTW
#include "lorma/fft/fftw.hpp"
#endif
#include "lorma/fft/transform.hpp"

namespace lorma::inline LORMA_ABI::detail {

#ifdef LORMA_WITH_FFTW
template <typename S>
using EnginePlan = FftwPlan<S>;
#else
template <typename S>
using EnginePlan = FftPlan<S>;
#endif

}  // namespace lorma::inline LORMA_ABI::detail

#endif
