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
  S* re = nullptr;
  S* im = nullptr;

  ComplexLanes<std::remove_const_t<S>> get(Index i) const {
    constexpr Index W = lane_count<std::remove_const_t<S>>;
    using T = std::remove_const_t<S>;
    return {load_lanes<T>(re + W * i), load_lanes<T>(im + W * i)};
  }
  void set(Index i, const ComplexLanes<S>& x) const {
    constexpr Index W = lane_count<S>;
    store_lanes<S>(re + W * i, x.re);
    store_lanes<S>(im + W * i, x.im);
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
