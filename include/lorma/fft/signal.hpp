// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_SIGNAL_HPP
#define LORMA_FFT_SIGNAL_HPP

/// One real column as a complex signal of half its length: its even entries are the real parts, its
/// odd ones the imaginary parts. So every column is transformed by itself, and no rounding, infinity
/// or NaN passes from one to another (docs/mathematics.md, section 4).

#include <algorithm>

#include "lorma/core/view.hpp"
#include "lorma/fft/lanes.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// Real and imaginary part, each N numbers in a row.
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

/// The even and the odd ones of N numbers times `scale`, N a multiple of 2 W.
template <typename S>
void unzip(const S* from, Index N, S scale, const Signal<S>& to) {
  constexpr Index W = lane_count<S>;
  for (Index i = 0; i < N / (2 * W); ++i) {
    const Lanes<S> a = load_lanes<S>(from + 2 * W * i) * scale;
    const Lanes<S> b = load_lanes<S>(from + 2 * W * i + W) * scale;
    to.store(i, {picked<S, [](int l) { return 2 * l; }>(a, b),
                 picked<S, [](int l) { return 2 * l + 1; }>(a, b)});
  }
}

/// The way back.
template <typename S>
void zip(const Signal<const S>& from, Index N, S* to) {
  constexpr Index W = lane_count<S>;
  for (Index i = 0; i < N / (2 * W); ++i) {
    const ComplexLanes<S> x = from.load(i);
    store_lanes<S>(to + 2 * W * i, picked<S, zipped_lane<S>>(x.re, x.im));
    store_lanes<S>(to + 2 * W * i + W, picked<S, [](int l) { return zipped_lane<S>(int(W) + l); }>(x.re, x.im));
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
