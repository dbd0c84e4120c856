// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_SIGNAL_HPP
#define LORMA_FFT_SIGNAL_HPP

/// Two real columns as one complex signal, where they lie.
///
/// The products of docs/mathematics.md are real-linear, so both columns come out apart at the end
/// without unpacking, and odd lengths are no exception.

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

/// Reads b . x, for N real weights b, or x where b is null: one type for both, so that a compiler
/// has the passes that read it once.
template <typename S>
struct Weighted {
  Signal<const S> x;
  const S* b = nullptr;

  Weighted(Signal<const S> signal, const S* weights = nullptr) : x(signal), b(weights) {}  // NOLINT
  ComplexLanes<S> load(Index i) const {
    return b != nullptr ? scaled(x.load(i), load_lanes<S>(b + x.W * i)) : x.load(i);
  }
};

/// Takes u as h += b . u.
template <typename S>
struct AddWeighted {
  Signal<S> h;
  const S* b;

  AddWeighted swapped() const { return {h.swapped(), b}; }
  void store(Index i, const ComplexLanes<S>& u) const {
    h.store(i, h.load(i) + scaled(u, load_lanes<S>(b + h.W * i)));
  }
};

/// Takes u as sum += Re(conj(g) . u): what two columns of g and of u have in common.
template <typename S>
struct AddProduct {
  S* sum;
  Signal<const S> g;

  AddProduct swapped() const { return {sum, {g.im, g.re}}; }
  void store(Index i, const ComplexLanes<S>& u) const {
    const ComplexLanes<S> x = g.load(i);
    S* const to = sum + g.W * i;
    store_lanes<S>(to, load_lanes<S>(to) + (x.re * u.re + x.im * u.im));
  }
};

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
