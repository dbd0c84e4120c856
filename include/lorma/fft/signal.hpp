// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_SIGNAL_HPP
#define LORMA_FFT_SIGNAL_HPP

/// Real columns as complex signals of half their length: even entries are the real parts, odd ones
/// the imaginary parts. Two columns lie side by side in each element (fft/lanes.hpp) and never
/// meet: no rounding, infinity or NaN passes from one to the other.

#include <algorithm>
#include <array>

#include "lorma/core/power_of_two.hpp"
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

/// One column for both places, N numbers: V even entries, V odd ones, and so on.
template <typename S>
struct Packed {
  static constexpr Index W = lane_count<S>;
  const S* re = nullptr;
  const S* im = nullptr;

  Packed() = default;
  explicit Packed(const S* x) : Packed(x, x + lane_samples<S>) {}
  Packed(const S* even, const S* odd) : re(even), im(odd) {}
  Packed swapped() const { return {im, re}; }
  ComplexLanes<S> load(Index i) const { return {load_twice(re + W * i), load_twice(im + W * i)}; }
};

/// Reads b . x, for a real column b, or x where b is null: one type for both, so that a compiler
/// has the passes that read it once.
template <typename S>
struct Weighted {
  Signal<const S> x;
  Packed<S> b;

  Weighted(Signal<const S> signal, Packed<S> weights = {}) : x(signal), b(weights) {}  // NOLINT
  Weighted(Signal<S> signal) : x(signal) {}                                            // NOLINT
  ComplexLanes<S> load(Index i) const {
    const ComplexLanes<S> value = x.load(i);
    return b.re != nullptr ? products(value, b.load(i)) : value;
  }
};

/// Takes u as h += b . u for real columns.
template <typename S>
struct AddWeighted {
  Signal<S> h;
  Packed<S> b;

  AddWeighted swapped() const { return {h.swapped(), b.swapped()}; }
  void store(Index i, const ComplexLanes<S>& u) const {
    h.store(i, h.load(i) + products(u, b.load(i)));
  }
};

/// Takes u as sum += g . u for real columns, both into one, packed.
template <typename S, bool Swapped = false>
struct AddProduct {
  S* sum;
  Signal<const S> g;

  AddProduct<S, !Swapped> swapped() const { return {sum, g.swapped()}; }
  void store(Index i, const ComplexLanes<S>& u) const {
    const ComplexLanes<S> x = products(g.load(i), u);
    S* const to = sum + g.W * i;
    store_lanes<S>(to, load_lanes<S>(to) +
                           (Swapped ? column_sums<S>(x.im, x.re) : column_sums<S>(x.re, x.im)));
  }
};

/// exponent_of the largest of n numbers; NaN may or may not count.
template <typename S>
int largest_exponent(const S* x, Index n) {
  constexpr Index W = lane_count<S>;
  constexpr int chains = 4;  // maxima that do not wait for each other
  Lanes<S> m[chains] = {};
  Index i = 0;
  for (; i + chains * W <= n; i += chains * W) {
    LORMA_UNROLL
    for (int j = 0; j < chains; ++j) {
      const Lanes<S> v = load_lanes<S>(x + i + j * W);
      m[j] = larger<S>(m[j], larger<S>(v, -v));
    }
  }
  S numbers[W];
  store_lanes<S>(numbers, larger<S>(larger<S>(m[0], m[1]), larger<S>(m[2], m[3])));
  S largest = *std::max_element(numbers, numbers + W);
  for (; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  return exponent_of(largest);
}

/// One column of N scaled numbers, packed.
template <typename S>
void pack(const S* from, S scale, Index N, S* to) {
  constexpr Index W = lane_count<S>;
  constexpr auto place = [](int l) {
    return l < lane_samples<S> ? 2 * l : 2 * l - lane_count<S> + 1;
  };
  for (Index i = 0; i < N; i += W) {
    const Lanes<S> x = load_lanes<S>(from + i) * scale;
    store_lanes<S>(to + i, picked<S, place>(x, x));
  }
}
/// The way back.
template <typename S>
void unpack(const S* from, Index N, S* to) {
  constexpr Index W = lane_count<S>;
  constexpr auto place = [](int l) { return l / 2 + l % 2 * lane_samples<S>; };
  for (Index i = 0; i < N; i += W) {
    const Lanes<S> x = load_lanes<S>(from + i);
    store_lanes<S>(to + i, picked<S, place>(x, x));
  }
}

/// Two columns of N numbers, each times a scale, as signals; N is a multiple of W.
template <typename S>
void unzip(const std::array<const S*, 2>& from, const std::array<S, 2>& scale, Index N,
           const Signal<S>& to) {
  constexpr Index W = lane_count<S>;
  constexpr auto even = [](int l) { return 2 * l; };
  constexpr auto odd = [](int l) { return 2 * l + 1; };
  for (Index i = 0; i < N / W; ++i) {
    const Lanes<S> a = load_lanes<S>(from[0] + W * i) * scale[0];
    const Lanes<S> b = load_lanes<S>(from[1] + W * i) * scale[1];
    to.store(i, {picked<S, even>(a, b), picked<S, odd>(a, b)});
  }
}

/// The way back, each column times a scale.
template <typename S>
void zip(const Signal<const S>& from, Index N, const std::array<S, 2>& scale,
         const std::array<S*, 2>& to) {
  constexpr Index W = lane_count<S>;
  constexpr auto first = [](int l) { return l / 2 + l % 2 * lane_count<S>; };
  constexpr auto second = [](int l) { return (W + l) / 2 + l % 2 * lane_count<S>; };
  for (Index i = 0; i < N / W; ++i) {
    const ComplexLanes<S> z = from.load(i);
    store_lanes<S>(to[0] + W * i, picked<S, first>(z.re, z.im) * scale[0]);
    store_lanes<S>(to[1] + W * i, picked<S, second>(z.re, z.im) * scale[1]);
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
