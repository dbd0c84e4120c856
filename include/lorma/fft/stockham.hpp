// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_STOCKHAM_HPP
#define LORMA_FFT_STOCKHAM_HPP

/// The transform itself: Stockham passes over lanes, unscaled, input and output in natural order.
///
///   transform<Inverse>(plan, load, store, scratch)
/// `load(i)` yields element i of the input and `store(i, value)` takes element i of the output, so
/// that pointwise products before and after cost no pass over memory of their own. Each element is
/// loaded once before any is stored only when there is more than one pass; scratch holds 2 N
/// numbers. Cost about 5 N log2 N flops a complex signal.

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
    for (int k = 0; k < R; ++k) x[k] = load(q + s * m * k);
    Butterfly<R, Inverse>::template apply<S>(x);
    for (int j = 0; j < R; ++j) store(q + s * j, x[j]);
  }
  for (Index p = 1; p < m; ++p) {
    const ComplexScalar<S>* w = pass.twiddles.data() + p * (R - 1);
    for (Index q = 0; q < s; ++q) {
      C x[R];
      for (int k = 0; k < R; ++k) x[k] = load(q + s * (p + m * k));
      Butterfly<R, Inverse>::template apply<S>(x);
      store(q + s * R * p, x[0]);
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
    case 8:
      return stockham_pass<8, Inverse, S>(pass, load, store);
    default:
      return store(0, load(0));  // length 1
  }
}

template <bool Inverse, typename S, typename Load, typename Store>
void transform(const FftPlan<S>& plan, const Load& load, const Store& store,
               ComplexLanes<S>* scratch) {
  using C = ComplexLanes<S>;
  const auto& passes = plan.passes();
  if (passes.size() == 1) {
    stockham_any_radix<Inverse, S>(passes[0], load, store);
    return;
  }
  C* from = scratch;
  C* to = scratch + plan.length();
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
