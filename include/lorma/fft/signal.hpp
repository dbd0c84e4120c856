// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_SIGNAL_HPP
#define LORMA_FFT_SIGNAL_HPP

/// A real column as a complex signal of half its length: its even entries are the real parts, its
/// odd ones the imaginary parts. Two columns lie side by side in each element (fft/lanes.hpp) and
/// never meet: no rounding, infinity or NaN passes from one to the other.

#include <algorithm>
#include <array>

#include "lorma/core/view.hpp"
#include "lorma/fft/lanes.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// Real and imaginary parts, in elements of W numbers.
template <typename S>
struct Signal {
  using Number = std::remove_const_t<S>;
  static constexpr Index W = lane_count<Number>;
  S* re = nullptr;
  S* im = nullptr;

  operator Signal<const S>() const { return {re, im}; }  // NOLINT(google-explicit-constructor)
  Signal swapped() const { return {im, re}; }
  ComplexLanes<Number> load(Index i) const {
    return {load_lanes<Number>(re + W * i), load_lanes<Number>(im + W * i)};
  }
  void store(Index i, const ComplexLanes<S>& x) const {
    store_lanes<S>(re + W * i, x.re);
    store_lanes<S>(im + W * i, x.im);
  }
};

/// Elements one after the other: what lies between two passes.
template <typename S>
struct Elements {
  ComplexLanes<S>* x;

  const ComplexLanes<S>& load(Index i) const { return x[i]; }
  void store(Index i, const ComplexLanes<S>& value) const { x[i] = value; }
};

/// Reads b . x, for real columns b and x, or x where b is null: one type for both, so that a
/// compiler has the passes that read it once.
template <typename S>
struct Weighted {
  Signal<const S> x;
  Signal<const S> b;

  Weighted(Signal<const S> signal, Signal<const S> weights = {})  // NOLINT
      : x(signal), b(weights) {}
  Weighted(Signal<S> signal) : x(signal) {}  // NOLINT(google-explicit-constructor)
  ComplexLanes<S> load(Index i) const {
    const ComplexLanes<S> value = x.load(i);
    if (b.re == nullptr) return value;
    const ComplexLanes<S> weight = b.load(i);
    return {value.re * weight.re, value.im * weight.im};
  }
};

/// Takes u as h += b . u, all real columns.
template <typename S>
struct AddWeighted {
  Signal<S> h;
  Signal<const S> b;

  AddWeighted swapped() const { return {h.swapped(), b.swapped()}; }
  void store(Index i, const ComplexLanes<S>& u) const {
    const ComplexLanes<S> sum = h.load(i);
    const ComplexLanes<S> weight = b.load(i);
    h.store(i, {sum.re + weight.re * u.re, sum.im + weight.im * u.im});
  }
};

/// Takes u as sum += g . u, all real columns.
template <typename S>
struct AddProduct {
  Signal<S> sum;
  Signal<const S> g;

  AddProduct swapped() const { return {sum.swapped(), g.swapped()}; }
  void store(Index i, const ComplexLanes<S>& u) const {
    const ComplexLanes<S> x = g.load(i);
    const ComplexLanes<S> old = sum.load(i);
    sum.store(i, {old.re + x.re * u.re, old.im + x.im * u.im});
  }
};

/// Two columns of N numbers, each times a scale, as signals; N is a multiple of 2 V. Where elements
/// have room for one column only, the second is not looked at.
template <typename S>
void unzip(const std::array<const S*, 2>& from, const std::array<S, 2>& scale, Index N,
           const Signal<S>& to) {
  constexpr Index step = 2 * lane_samples<S>;
  const S* const x = from[0];
  const S* const y = lane_columns<S> == 2 ? from[1] : x + 1;
  for (Index i = 0; i < N / step; ++i) {
    const Lanes<S> a = load_lanes<S>(x + step * i) * scale[0];
    const Lanes<S> b = load_lanes<S>(y + step * i) * scale[lane_columns<S> - 1];
    to.store(i, {picked<S, [](int l) { return 2 * l; }>(a, b),
                 picked<S, [](int l) { return 2 * l + 1; }>(a, b)});
  }
}

/// Place First + l of a0 b0 a1 b1 ... in a and b one after the other.
template <typename S, int First>
constexpr int zipped_lane(int l) {
  return (First + l) / 2 + (First + l) % 2 * lane_count<S>;
}

/// The way back.
template <typename S>
void zip(const Signal<const S>& from, Index N, const std::array<S*, 2>& to) {
  constexpr Index step = 2 * lane_samples<S>;
  S* const x = to[0];
  S* const y = lane_columns<S> == 2 ? to[1] : x + 1;
  for (Index i = 0; i < N / step; ++i) {
    const ComplexLanes<S> z = from.load(i);
    store_lanes<S>(x + step * i, picked<S, zipped_lane<S, 0>>(z.re, z.im));
    store_lanes<S>(y + step * i, picked<S, zipped_lane<S, lane_count<S>>>(z.re, z.im));
  }
}

/// n numbers continued to N: as a period (as far as a correlation of length n reads them), or zero.
template <typename S>
void extend(const S* from, Index n, bool periodic, S* to, Index N) {
  std::copy_n(from, n, to);
  std::fill(to + n, to + N, S(0));
  if (periodic && N > n) std::copy_n(from, std::min(n - 1, N - n), to + n);
}

/// Adjoint of the periodic extension: n sums.
template <typename S>
void fold(const S* from, Index N, Index n, S* to) {
  std::copy_n(from, n, to);
  if (N == n) return;
  for (Index i = 0; i < std::min(n - 1, N - n); ++i) to[i] += from[n + i];
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
