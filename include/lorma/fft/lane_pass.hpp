// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_LANE_PASS_HPP
#define LORMA_FFT_LANE_PASS_HPP

/// The pass across lanes, radix W: from the spectra Z_j of the lanes to the spectrum of the signal,
///   X(f + L m) = sum_j w_N^(j f) Z_j(f) w_W^(j m).
/// W elements at a time are transposed, so that it is again a butterfly on whole registers.
///
/// Element W g + m of a spectrum holds X(f + L m) for f = W g ... W g + W - 1, one
/// in each lane (zero where f >= L). Whoever multiplies spectra needs no other order.

#include <utility>

#include "lorma/fft/butterflies.hpp"
#include "lorma/fft/plan.hpp"

namespace lorma::inline LORMA_ABI::detail {

#ifdef LORMA_SHUFFLE

/// Transposes W registers: log2 W times, rows i and i + W / 2 interleaved become rows 2 i, 2 i + 1.
template <typename S, int W = lane_count<S>, int Stage = W / 2>
LORMA_INLINE void transpose(Lanes<S>* x) {
  if constexpr (Stage > 0) {
    Lanes<S> y[W];
    LORMA_UNROLL
    for (int i = 0; i < W / 2; ++i) {
      y[2 * i] = picked<S, zipped_lane<S>>(x[i], x[i + W / 2]);
      y[2 * i + 1] = picked<S, [](int l) { return zipped_lane<S>(W + l); }>(x[i], x[i + W / 2]);
    }
    transpose<S, W, Stage / 2>(y);
    LORMA_UNROLL
    for (int i = 0; i < W; ++i) x[i] = y[i];
  }
}

#else

template <typename S, int W = lane_count<S>>
void transpose(Lanes<S>* x) {
  S numbers[W][W];
  for (int i = 0; i < W; ++i) store_lanes<S>(numbers[i], x[i]);
  for (int i = 0; i < W; ++i) {
    for (int j = i + 1; j < W; ++j) std::swap(numbers[i][j], numbers[j][i]);
  }
  for (int i = 0; i < W; ++i) x[i] = load_lanes<S>(numbers[i]);
}

#endif

/// Transposes W elements, real and imaginary parts alike.
template <typename S>
LORMA_INLINE void transpose(const ComplexLanes<S>* from, ComplexLanes<S>* to) {
  constexpr int W = lane_count<S>;
  Lanes<S> part[W];
  LORMA_UNROLL
  for (int i = 0; i < W; ++i) part[i] = from[i].re;
  if constexpr (W > 1) transpose<S>(part);
  LORMA_UNROLL
  for (int i = 0; i < W; ++i) to[i].re = part[i];
  LORMA_UNROLL
  for (int i = 0; i < W; ++i) part[i] = from[i].im;
  if constexpr (W > 1) transpose<S>(part);
  LORMA_UNROLL
  for (int i = 0; i < W; ++i) to[i].im = part[i];
}

/// From Z, zero from L up to whole blocks, to store(k, X).
template <typename S, typename Store>
void join_lanes(const FftPlan<S>& plan, const ComplexLanes<S>* Z, const Store& store) {
  constexpr Index W = lane_count<S>;
  for (Index k = 0; k < plan.spectrum_size(); k += W) {
    ComplexLanes<S> x[W];
    transpose(Z + k, x);
    LORMA_UNROLL
    for (Index j = 1; j < W; ++j) x[j] = multiply(x[j], plan.lane_twiddle(k + j));
    Butterfly<int(W)>::template apply<S>(x);
    LORMA_UNROLL
    for (Index m = 0; m < W; ++m) store(k + m, x[m]);
  }
}

/// From the spectrum of z to that of conj(z): conj(X(N - k)), in the order of the spectrum; not zero
/// where f >= L. `scratch`: 2 (spectrum_size() + 2 W) numbers.
template <typename S>
void mirror(const FftPlan<S>& plan, const ComplexLanes<S>* from, ComplexLanes<S>* to,
            ComplexLanes<S>* scratch) {
  constexpr Index W = lane_count<S>;
  const Index L = plan.lane_length();
  const Index row = plan.spectrum_size() + 2 * W;
  S* const re = reinterpret_cast<S*>(scratch) + W;
  S* const im = re + row;
  for (Index m = 0; m < W; ++m) {
    // N - (f + L m) is (L - f) + L (W - 1 - m), or L (W - m) where f = 0.
    for (Index f = 0; f < L; f += W) {
      const ComplexLanes<S>& x = from[f + W - 1 - m];
      store_lanes<S>(re + f, x.re);
      store_lanes<S>(im + f, x.im);
    }
    const ComplexLanes<S>& x = from[(W - m) % W];
    store_lanes<S>(re + L, x.re);
    store_lanes<S>(im + L, x.im);
    for (Index f = 0; f < L; f += W) {
      const Index at = L - f - (W - 1);
      const auto reversed = [at](const S* part) {
        const Lanes<S> v = load_lanes<S>(part + at);
        return picked<S, [](int l) { return int(W) - 1 - l; }>(v, v);
      };
      to[f + m] = {reversed(re), -reversed(im)};
    }
  }
}

/// The way back: from load(k) to W times Z, swapped.
template <typename S, typename Load>
void part_lanes(const FftPlan<S>& plan, const Load& load, ComplexLanes<S>* Z) {
  constexpr Index W = lane_count<S>;
  for (Index k = 0; k < plan.spectrum_size(); k += W) {
    ComplexLanes<S> x[W];
    LORMA_UNROLL
    for (Index m = 0; m < W; ++m) x[m] = swapped(load(k + m));
    Butterfly<int(W)>::template apply<S>(x);
    LORMA_UNROLL
    for (Index j = 1; j < W; ++j) x[j] = multiply(x[j], plan.lane_twiddle(k + j));
    transpose(x, Z + k);
  }
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
