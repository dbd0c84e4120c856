// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_STOCKHAM_HPP
#define LORMA_FFT_STOCKHAM_HPP

/// Stockham passes: a transform of length L in each lane, unscaled, in natural order.

#include "lorma/fft/butterflies.hpp"
#include "lorma/fft/plan.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// One pass: x[q + s (p + m k)] -> y[q + s (R p + j)], times w^(p j).
template <int R, bool Inverse, typename S, typename Load, typename Store>
void stockham_pass(const typename FftPlan<S>::Pass& pass, const Load& load, const Store& store) {
  using C = ComplexLanes<S>;
  const Index s = pass.stride;
  const Index m = pass.m;
  // p = 0 has no twiddles; the last pass has nothing else.
  for (Index q = 0; q < s; ++q) {
    C x[R];
    LORMA_UNROLL
    for (int k = 0; k < R; ++k) x[k] = load(q + s * m * k);
    Butterfly<R, Inverse>::template apply<S>(x);
    LORMA_UNROLL
    for (int j = 0; j < R; ++j) store(q + s * j, x[j]);
  }
  for (Index p = 1; p < m; ++p) {
    const ComplexScalar<S>* w = pass.twiddles.data() + p * (R - 1);
    for (Index q = 0; q < s; ++q) {
      C x[R];
      LORMA_UNROLL
      for (int k = 0; k < R; ++k) x[k] = load(q + s * (p + m * k));
      Butterfly<R, Inverse>::template apply<S>(x);
      store(q + s * R * p, x[0]);
      LORMA_UNROLL
      for (int j = 1; j < R; ++j) {
        store(q + s * (R * p + j),
              Inverse ? multiply_conjugate(x[j], w[j - 1]) : multiply(x[j], w[j - 1]));
      }
    }
  }
}

template <bool Inverse, typename S, typename Load, typename Store>
void stockham_any_radix(const typename FftPlan<S>::Pass& pass, const Load& load,
                        const Store& store) {
  switch (pass.radix) {
    case 2:
      return stockham_pass<2, Inverse, S>(pass, load, store);
    case 3:
      return stockham_pass<3, Inverse, S>(pass, load, store);
    case 4:
      return stockham_pass<4, Inverse, S>(pass, load, store);
    case 5:
      return stockham_pass<5, Inverse, S>(pass, load, store);
    case 7:
      return stockham_pass<7, Inverse, S>(pass, load, store);
    default:
      return stockham_pass<8, Inverse, S>(pass, load, store);
  }
}

/// All passes: element i comes from load(i), element k goes to store(k, x). `from` and `to` are two
/// buffers of L elements for what lies between.
template <bool Inverse, typename S, typename Load, typename Store>
void transform_lanes(const FftPlan<S>& plan, const Load& load, const Store& store,
                     ComplexLanes<S>* from, ComplexLanes<S>* to) {
  using C = ComplexLanes<S>;
  const auto& passes = plan.passes();
  if (passes.empty()) return store(0, load(0));
  if (passes.size() == 1) return stockham_any_radix<Inverse, S>(passes[0], load, store);
  stockham_any_radix<Inverse, S>(passes[0], load, [from](Index i, const C& x) { from[i] = x; });
  for (std::size_t i = 1; i + 1 < passes.size(); ++i) {
    stockham_any_radix<Inverse, S>(
        passes[i], [from](Index k) { return from[k]; }, [to](Index k, const C& x) { to[k] = x; });
    std::swap(from, to);
  }
  stockham_any_radix<Inverse, S>(
      passes.back(), [from](Index k) { return from[k]; }, store);
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
