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
/// pass over memory of their own. The mirrored spectrum is that of conj(x), in the same order,
/// which costs no more than the last pass again; from_spectra adds conj of what `load_mirrored` is
/// the spectrum of. Signals have L elements, spectra spectrum_size() (fft/plan.hpp,
/// fft/lane_pass.hpp). Every element is loaded before any is stored. Cost about 5 N log2 N flops.

#include "lorma/fft/lane_pass.hpp"
#include "lorma/fft/passes.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// The spectra of the lanes into `scratch`, in the order of plan.place, zero up to whole blocks.
template <typename S>
void to_lane_spectra(const FftPlan<S>& plan, const Weighted<S>& from, ComplexLanes<S>* scratch) {
  transform_lanes<S>(plan, from, Elements<S>{scratch});
  std::fill(scratch + plan.lane_length(), scratch + plan.spectrum_size(), ComplexLanes<S>{});
}

template <typename S, typename Store>
void to_spectrum(const FftPlan<S>& plan, const std::type_identity_t<Weighted<S>>& from,
                 const Store& store, ComplexLanes<S>* scratch) {
  to_lane_spectra<S>(plan, from, scratch);
  join_lanes(
      plan, [&plan, scratch](Index f) { return scratch[plan.place(f)]; }, store);
}

template <typename S, typename Store, typename StoreMirrored>
void to_spectra(const FftPlan<S>& plan, const std::type_identity_t<Weighted<S>>& from,
                const Store& store, const StoreMirrored& store_mirrored, ComplexLanes<S>* scratch) {
  to_spectrum(plan, from, store, scratch);
  join_lanes(
      plan,
      [&plan, scratch](Index f) {
        const ComplexLanes<S>& x = scratch[plan.place(plan.mirrored(f))];
        return ComplexLanes<S>{x.re, -x.im};
      },
      store_mirrored);
}

template <typename S, typename Load, typename Target>
void from_spectrum(const FftPlan<S>& plan, const Load& load, const Target& to,
                   ComplexLanes<S>* scratch) {
  part_lanes(plan, load, [scratch](Index f, const ComplexLanes<S>& x) { scratch[f] = x; });
  transform_lanes_to(plan, Elements<S>{scratch}, to.swapped());
}

template <typename S, typename Load, typename LoadMirrored, typename Target>
void from_spectra(const FftPlan<S>& plan, const Load& load, const LoadMirrored& load_mirrored,
                  const Target& to, ComplexLanes<S>* scratch) {
  part_lanes(plan, load, [scratch](Index f, const ComplexLanes<S>& x) { scratch[f] = x; });
  part_lanes(plan, load_mirrored, [&plan, scratch](Index f, const ComplexLanes<S>& x) {
    ComplexLanes<S>& sum = scratch[plan.mirrored(f)];
    sum = ComplexLanes<S>{sum.re - x.re, sum.im + x.im};
  });
  transform_lanes_to(plan, Elements<S>{scratch}, to.swapped());
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
