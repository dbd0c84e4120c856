// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_LANE_PASS_HPP
#define LORMA_FFT_LANE_PASS_HPP

/// The pass across lanes, radix V: from the spectra Z_j of the lanes to the spectrum of the signal,
///   X(f + L m) = sum_j w_N^(j f) Z_j(f) w_V^(j m).
/// V elements at a time are transposed, so that it is again a butterfly on whole registers.
///
/// Element V g + m of a spectrum holds X(f + L m) for f = V g ... V g + V - 1, one in each lane of
/// a column (zero where f >= L). Whoever multiplies spectra needs no other order.

#include <utility>

#include "lorma/fft/butterflies.hpp"
#include "lorma/fft/plan.hpp"

namespace lorma::inline LORMA_ABI::detail {

#ifdef LORMA_SHUFFLE

/// Lane i of a0 b0 a1 b1 ... in each half, from the first or the second of its lanes.
template <typename S, bool Second>
constexpr int interleaved_lane(int i) {
  constexpr int V = lane_samples<S>;
  const int place = i % V + (Second ? V : 0);
  return i / V * V + place / 2 + place % 2 * lane_count<S>;
}

/// Transposes V registers, both halves: log2 V times, rows i and i + V / 2 interleaved become rows
/// 2 i, 2 i + 1.
template <typename S, int V = lane_samples<S>, int Stage = V / 2>
LORMA_INLINE void transpose(Lanes<S>* x) {
  if constexpr (Stage > 0) {
    Lanes<S> y[V];
    LORMA_UNROLL
    for (int i = 0; i < V / 2; ++i) {
      y[2 * i] = picked<S, interleaved_lane<S, false>>(x[i], x[i + V / 2]);
      y[2 * i + 1] = picked<S, interleaved_lane<S, true>>(x[i], x[i + V / 2]);
    }
    transpose<S, V, Stage / 2>(y);
    LORMA_UNROLL
    for (int i = 0; i < V; ++i) x[i] = y[i];
  }
}

#else

template <typename S>
void transpose(Lanes<S>* x) {
  constexpr int W = lane_count<S>;
  constexpr int V = lane_samples<S>;
  S numbers[V][W];
  for (int i = 0; i < V; ++i) store_lanes<S>(numbers[i], x[i]);
  for (int i = 0; i < V; ++i) {
    for (int j = i + 1; j < V; ++j) {
      for (int half = 0; half < W; half += V) {
        std::swap(numbers[i][half + j], numbers[j][half + i]);
      }
    }
  }
  for (int i = 0; i < V; ++i) x[i] = load_lanes<S>(numbers[i]);
}

#endif

/// Transposes V elements, real and imaginary parts alike.
template <typename S>
LORMA_INLINE void transpose(ComplexLanes<S>* x) {
  constexpr int V = lane_samples<S>;
  if constexpr (V == 1) return;
  Lanes<S> part[V];
  LORMA_UNROLL
  for (int i = 0; i < V; ++i) part[i] = x[i].re;
  transpose<S>(part);
  LORMA_UNROLL
  for (int i = 0; i < V; ++i) {
    x[i].re = part[i];
    part[i] = x[i].im;
  }
  transpose<S>(part);
  LORMA_UNROLL
  for (int i = 0; i < V; ++i) x[i].im = part[i];
}

/// From load(f) = Z, zero from L up to whole blocks, to store(k, X).
template <typename S, typename Load, typename Store>
void join_lanes(const FftPlan<S>& plan, const Load& load, const Store& store) {
  constexpr Index V = lane_samples<S>;
  for (Index k = 0; k < plan.spectrum_size(); k += V) {
    ComplexLanes<S> x[V];
    LORMA_UNROLL
    for (Index j = 0; j < V; ++j) x[j] = load(k + j);
    transpose<S>(x);
    LORMA_UNROLL
    for (Index j = 1; j < V; ++j) x[j] = multiply(x[j], plan.lane_twiddle(k + j));
    Butterfly<int(V)>::template apply<S>(x);
    LORMA_UNROLL
    for (Index m = 0; m < V; ++m) store(k + m, x[m]);
  }
}

/// The way back: from load(k) to V times Z, swapped.
template <typename S, typename Load, typename Store>
void part_lanes(const FftPlan<S>& plan, const Load& load, const Store& store) {
  constexpr Index V = lane_samples<S>;
  for (Index k = 0; k < plan.spectrum_size(); k += V) {
    ComplexLanes<S> x[V];
    LORMA_UNROLL
    for (Index m = 0; m < V; ++m) x[m] = swapped(load(k + m));
    Butterfly<int(V)>::template apply<S>(x);
    LORMA_UNROLL
    for (Index j = 1; j < V; ++j) x[j] = multiply(x[j], plan.lane_twiddle(k + j));
    transpose<S>(x);
    LORMA_UNROLL
    for (Index j = 0; j < V; ++j) store(k + j, x[j]);
  }
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
