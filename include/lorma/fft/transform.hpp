// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_TRANSFORM_HPP
#define LORMA_FFT_TRANSFORM_HPP

/// Transforms of one complex signal of length N, unscaled: x -> X and N times back.
///
///   to_spectrum(plan, from, store, scratch)
///   from_spectrum(plan, load, to, scratch)
/// `from.load(i)` yields element i of a signal and `to.store(i, lanes)` takes it (fft/signal.hpp);
/// `load(k)` and `store(k, lanes)` do so for a spectrum. Products before and after then cost no
/// pass over memory of their own. Signals have L elements, spectra spectrum_size() (fft/plan.hpp,
/// fft/lane_pass.hpp). Every element is loaded before any is stored. Cost about 5 N log2 N flops.

#include "lorma/fft/lane_pass.hpp"
#include "lorma/fft/stockham.hpp"

namespace lorma::inline LORMA_ABI::detail {

template <typename S, typename Store>
void to_spectrum(const FftPlan<S>& plan, const std::type_identity_t<Weighted<S>>& from,
                 const Store& store, ComplexLanes<S>* scratch) {
  using C = ComplexLanes<S>;
  // The passes alternate between the buffers; the last of them has to end in one it does not read.
  C* first = scratch;
  C* second = scratch + plan.spectrum_size();
  C* last = plan.passes().size() % 2 == 0 ? second : first;
  for (Index k = plan.lane_length(); k < plan.spectrum_size(); ++k) last[k] = C{};
  transform_lanes<S>(plan, from, Elements<S>{last}, {first}, {second});
  join_lanes(plan, last, store);
}

template <typename S, typename Load, typename Target>
void from_spectrum(const FftPlan<S>& plan, const Load& load, const Target& to,
                   ComplexLanes<S>* scratch) {
  ComplexLanes<S>* first = scratch;
  ComplexLanes<S>* second = scratch + plan.spectrum_size();
  part_lanes(plan, load, first);
  transform_lanes<S>(plan, Elements<S>{first}, to.swapped(), {second}, {first});
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
