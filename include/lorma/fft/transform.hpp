// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_TRANSFORM_HPP
#define LORMA_FFT_TRANSFORM_HPP

/// Transforms of complex signals of length N, unscaled: x -> X and N times back.
///
///   to_spectrum(plan, from, store, scratch)
///   to_spectra(plan, from, store, store_mirrored, scratch)
///   from_spectrum(plan, load, to, scratch)
///   from_spectra(plan, load, load_mirrored, to, scratch)
/// `from.load(i)` yields element i of a signal and `to.store(i, lanes)` takes it (fft/signal.hpp);
/// `load(k)` and `store(k, lanes)` do so for a spectrum. Products before and after then cost no
/// pass over memory of their own. The mirrored spectrum is that of conj(x), in the same order, which
/// costs no more than the last pass again; from_spectra adds conj of what `load_mirrored` is the
/// spectrum of. Signals have L elements, spectra spectrum_size() (fft/plan.hpp, fft/lane_pass.hpp).
/// Every element is loaded before any is stored. Cost about 5 N log2 N flops.

#include "lorma/fft/lane_pass.hpp"
#include "lorma/fft/passes.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// The spectra of the lanes, zero up to whole blocks.
template <typename S>
const ComplexLanes<S>* to_lane_spectra(const FftPlan<S>& plan, const Weighted<S>& from,
                                       ComplexLanes<S>* scratch) {
  ComplexLanes<S>* const last = scratch + plan.spectrum_size();
  for (Index f = plan.lane_length(); f < plan.spectrum_size(); ++f) last[f] = ComplexLanes<S>{};
  transform_lanes<S>(plan, from, Elements<S>{last}, {scratch});
  return last;
}

template <typename S, typename Store>
void to_spectrum(const FftPlan<S>& plan, const std::type_identity_t<Weighted<S>>& from,
                 const Store& store, ComplexLanes<S>* scratch) {
  const ComplexLanes<S>* Z = to_lane_spectra<S>(plan, from, scratch);
  join_lanes(
      plan, [Z](Index f) { return Z[f]; }, store);
}

template <typename S, typename Store, typename StoreMirrored>
void to_spectra(const FftPlan<S>& plan, const std::type_identity_t<Weighted<S>>& from,
                const Store& store, const StoreMirrored& store_mirrored, ComplexLanes<S>* scratch) {
  const ComplexLanes<S>* Z = to_lane_spectra<S>(plan, from, scratch);
  join_lanes(
      plan, [Z](Index f) { return Z[f]; }, store);
  join_lanes(
      plan,
      [Z, L = plan.lane_length()](Index f) {
        const Index mirrored = f == 0 || f >= L ? f : L - f;
        return ComplexLanes<S>{Z[mirrored].re, -Z[mirrored].im};
      },
      store_mirrored);
}

template <typename S, typename Target>
void from_lane_spectra(const FftPlan<S>& plan, const Target& to, ComplexLanes<S>* scratch) {
  transform_lanes<S>(plan, Elements<S>{scratch}, to.swapped(), {scratch});
}

template <typename S, typename Load, typename Target>
void from_spectrum(const FftPlan<S>& plan, const Load& load, const Target& to,
                   ComplexLanes<S>* scratch) {
  part_lanes(plan, load, [scratch](Index f, const ComplexLanes<S>& x) { scratch[f] = x; });
  from_lane_spectra<S>(plan, to, scratch);
}

template <typename S, typename Load, typename LoadMirrored, typename Target>
void from_spectra(const FftPlan<S>& plan, const Load& load, const LoadMirrored& load_mirrored,
                  const Target& to, ComplexLanes<S>* scratch) {
  part_lanes(plan, load, [scratch](Index f, const ComplexLanes<S>& x) { scratch[f] = x; });
  part_lanes(plan, load_mirrored,
             [scratch, L = plan.lane_length()](Index f, const ComplexLanes<S>& x) {
               ComplexLanes<S>& sum = scratch[f == 0 || f >= L ? f : L - f];
               sum = ComplexLanes<S>{sum.re - x.re, sum.im + x.im};
             });
  from_lane_spectra<S>(plan, to, scratch);
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
