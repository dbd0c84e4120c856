// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_PASSES_HPP
#define LORMA_FFT_PASSES_HPP

/// A transform of length L in each lane, unscaled: passes of decimation in frequency, in place but
/// for the first of a transform that reads a source, and the last of one that writes to a target.
///
/// A pass is compiled for each radix and each pair of types that it reads from and writes to, most
/// of what a transform costs a compiler. So these types are few (fft/signal.hpp), and the inverse
/// transform has no passes of its own.

#include <utility>

#include "lorma/fft/butterflies.hpp"
#include "lorma/fft/plan.hpp"
#include "lorma/fft/signal.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// One pass: in block i, x[p + m k] -> w^(p j) y[p + m j]; the last one stores in natural order.
template <int R, typename S, typename Source, typename Target>
void pass_of_radix(const typename FftPlan<S>::Pass& pass, const Source from, const Target to) {
  using C = ComplexLanes<S>;
  const Index m = pass.m;
  const Index step = pass.step;
  for (Index p = 0; p < m; ++p) {
    const ComplexScalar<S>* w = pass.twiddles.data() + p * (R - 1);
    Index at = p;
    for (const Index place : pass.places) {
      C x[R];
      LORMA_UNROLL
      for (int k = 0; k < R; ++k) x[k] = from.load(at + m * k);
      Butterfly<R>::template apply<S>(x);
      if (p > 0) {  // w_0 = 1; the last pass has nothing else
        LORMA_UNROLL
        for (int j = 1; j < R; ++j) x[j] = multiply(x[j], w[j - 1]);
      }
      LORMA_UNROLL
      for (int j = 0; j < R; ++j) to.store(place + p + step * j, x[j]);
      at += m * R;
    }
  }
}

template <typename S, typename Source, typename Target>
void pass_of_any_radix(const typename FftPlan<S>::Pass& pass, const Source& from,
                       const Target& to) {
  [&]<int... R>(std::integer_sequence<int, R...>) {
    (void)((pass.radix == R && (pass_of_radix<R, S>(pass, from, to), true)) || ...);
  }
  (std::integer_sequence<int, 8, 4, 2, 3, 5, 7>());
}

/// All passes from a source into `buffer`, coefficient f to element plan.place(f).
template <typename S, typename Source>
void transform_lanes(const FftPlan<S>& plan, const Source& from, Elements<S> buffer) {
  const auto& passes = plan.passes();
  if (passes.empty()) return buffer.store(0, from.load(0));
  if (passes.size() == 1) return pass_of_any_radix<S>(plan.last_in_place(), from, buffer);
  pass_of_any_radix<S>(passes[0], from, buffer);
  for (std::size_t i = 1; i + 1 < passes.size(); ++i) {
    pass_of_any_radix<S>(passes[i], buffer, buffer);
  }
  pass_of_any_radix<S>(plan.last_in_place(), buffer, buffer);
}

/// All passes from `buffer`, which is overwritten, to to.store(f, x) in natural order.
template <typename S, typename Target>
void transform_lanes_to(const FftPlan<S>& plan, Elements<S> buffer, const Target& to) {
  const auto& passes = plan.passes();
  if (passes.empty()) return to.store(0, buffer.load(0));
  for (std::size_t i = 0; i + 1 < passes.size(); ++i) {
    pass_of_any_radix<S>(passes[i], buffer, buffer);
  }
  pass_of_any_radix<S>(passes.back(), buffer, to);
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
