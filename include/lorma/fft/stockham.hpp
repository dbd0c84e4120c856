// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_STOCKHAM_HPP
#define LORMA_FFT_STOCKHAM_HPP

/// Stockham passes: a transform of length L in each lane, unscaled, in natural order.
///
/// A pass is compiled for each radix and each pair of types that it reads from and writes to, most
/// of what a transform costs a compiler. So these types are few (fft/signal.hpp), and the inverse
/// transform has no passes of its own.

#include <utility>

#include "lorma/fft/butterflies.hpp"
#include "lorma/fft/plan.hpp"
#include "lorma/fft/signal.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// One pass: x[q + s (p + m k)] -> y[q + s (R p + j)], times w^(p j).
template <int R, typename S, typename Source, typename Target>
void stockham_pass(const typename FftPlan<S>::Pass& pass, const Source from, const Target to) {
  using C = ComplexLanes<S>;
  const Index s = pass.stride;
  const Index m = pass.m;
  for (Index p = 0; p < m; ++p) {
    const ComplexScalar<S>* w = pass.twiddles.data() + p * (R - 1);
    for (Index q = 0; q < s; ++q) {
      C x[R];
      LORMA_UNROLL
      for (int k = 0; k < R; ++k) x[k] = from.load(q + s * (p + m * k));
      Butterfly<R>::template apply<S>(x);
      if (p > 0) {  // w_0 = 1; the last pass has nothing else
        LORMA_UNROLL
        for (int j = 1; j < R; ++j) x[j] = multiply(x[j], w[j - 1]);
      }
      LORMA_UNROLL
      for (int j = 0; j < R; ++j) to.store(q + s * (R * p + j), x[j]);
    }
  }
}

template <typename S, typename Source, typename Target>
void stockham_any_radix(const typename FftPlan<S>::Pass& pass, const Source& from,
                        const Target& to) {
  [&]<int... R>(std::integer_sequence<int, R...>) {
    (void)((pass.radix == R && (stockham_pass<R, S>(pass, from, to), true)) || ...);
  }
  (std::integer_sequence<int, 8, 4, 2, 3, 5, 7>());
}

/// All passes, from.load(i) to to.store(k, x). `first` and `second` are two buffers of L elements
/// for what lies between.
template <typename S, typename Source, typename Target>
void transform_lanes(const FftPlan<S>& plan, const Source& from, const Target& to,
                     Elements<S> first, Elements<S> second) {
  const auto& passes = plan.passes();
  if (passes.empty()) return to.store(0, from.load(0));
  if (passes.size() == 1) return stockham_any_radix<S>(passes[0], from, to);
  stockham_any_radix<S>(passes[0], from, first);
  for (std::size_t i = 1; i + 1 < passes.size(); ++i) {
    stockham_any_radix<S>(passes[i], first, second);
    std::swap(first, second);
  }
  stockham_any_radix<S>(passes.back(), first, to);
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
