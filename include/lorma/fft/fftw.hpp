// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_FFTW_HPP
#define LORMA_FFT_FFTW_HPP

/// FFTW as an engine: the same functions as in fft/transform.hpp, on its own plan.
///
/// Needs fftw3.h, libfftw3 and libfftw3f, which are under the GPL; LORMA_WITH_FFTW makes this the
/// engine of Spectral. A spectrum lies in natural order, V coefficients of each column in an
/// element.

#include <fftw3.h>

#include <mutex>

#include "lorma/core/error.hpp"
#include "lorma/fft/signal.hpp"

namespace lorma::inline LORMA_ABI::detail {

template <typename S>
struct FftwApi;
template <>
struct FftwApi<float> {
  using Plan = fftwf_plan;
  static constexpr auto make = fftwf_plan_guru64_split_dft;
  static constexpr auto execute = fftwf_execute_split_dft;
  static constexpr auto destroy = fftwf_destroy_plan;
  static constexpr auto allocate = fftwf_alloc_real;
  static constexpr auto release = fftwf_free;
};
template <>
struct FftwApi<double> {
  using Plan = fftw_plan;
  static constexpr auto make = fftw_plan_guru64_split_dft;
  static constexpr auto execute = fftw_execute_split_dft;
  static constexpr auto destroy = fftw_destroy_plan;
  static constexpr auto allocate = fftw_alloc_real;
  static constexpr auto release = fftw_free;
};

/// FFTW's planner may be used by one thread at a time, whatever the precision.
inline std::mutex& fftw_planner() {
  static std::mutex mutex;
  return mutex;
}

template <typename S>
class FftwPlan {
  using Api = FftwApi<S>;

 public:
  static constexpr Index V = lane_samples<S>;

  /// `length` is a multiple of V. Throws BackendError when FFTW makes no plan. The plan is FFTW's
  /// estimate: one that it measured would be another from run to run, and so would the last bits.
  explicit FftwPlan(Index length) : length_(length) {
    const std::lock_guard lock(fftw_planner());
    S* memory = Api::allocate(static_cast<std::size_t>(8 * length));
    if (memory == nullptr) throw std::bad_alloc();
    const fftw_iodim64 size{length, 1, 1};
    const fftw_iodim64 columns{2, length, length};
    plan_ = Api::make(1, &size, 1, &columns, memory, memory + 2 * length, memory + 4 * length,
                      memory + 6 * length, FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
    Api::release(memory);
    if (plan_ == nullptr) {
      throw BackendError("lorma::FftwPlan: expected a plan from FFTW for length " +
                         std::to_string(length) + ", got none");
    }
  }
  FftwPlan(const FftwPlan&) = delete;
  FftwPlan& operator=(const FftwPlan&) = delete;
  ~FftwPlan() {
    const std::lock_guard lock(fftw_planner());
    Api::destroy(plan_);
  }

  Index length() const { return length_; }
  Index spectrum_size() const { return length_ / V; }
  Index scratch_size() const { return 2 * spectrum_size(); }

  /// Two columns one after the other. Aligned as fftw_malloc aligns; in.re, in.im, out.re, out.im
  /// at a distance of 2 N.
  void execute(const Signal<S>& in, const Signal<S>& out) const {
    Api::execute(plan_, in.re, in.im, out.re, out.im);
  }

 private:
  Index length_;
  typename Api::Plan plan_ = nullptr;
};

/// Loads all, transforms; element k of the result is then `at(k)`.
template <typename S>
class TransformByFftw {
 public:
  template <typename Load>
  TransformByFftw(const FftwPlan<S>& plan, const Load& load, ComplexLanes<S>* scratch)
      : N_(plan.length()),
        in_{reinterpret_cast<S*>(scratch), reinterpret_cast<S*>(scratch) + 2 * N_},
        out_{in_.im + 2 * N_, in_.im + 4 * N_} {
    for (Index k = 0; k < N_ / V; ++k) {
      const ComplexLanes<S> x = load(k);
      put(x.re, in_.re + k * V);
      put(x.im, in_.im + k * V);
    }
    plan.execute(in_, out_);
  }
  ComplexLanes<S> at(Index k) const { return {get(out_.re + k * V), get(out_.im + k * V)}; }
  /// That of the spectrum of the conjugate signal.
  ComplexLanes<S> mirrored(Index k) const {
    S re[2 * V];
    S im[2 * V];
    for (Index l = 0; l < 2 * V; ++l) {
      const Index from = l / V * N_ + (N_ - (k * V + l % V)) % N_;
      re[l] = out_.re[from];
      im[l] = -out_.im[from];
    }
    return {load_lanes<S>(re), load_lanes<S>(im)};
  }

 private:
  static constexpr Index V = lane_samples<S>;

  void put(const Lanes<S>& x, S* to) const {
    S numbers[2 * V];
    store_lanes<S>(numbers, x);
    std::copy_n(numbers, V, to);
    std::copy_n(numbers + V, V, to + N_);
  }
  Lanes<S> get(const S* from) const {
    S numbers[2 * V];
    std::copy_n(from, V, numbers);
    std::copy_n(from + N_, V, numbers + V);
    return load_lanes<S>(numbers);
  }

  Index N_;
  Signal<S> in_;
  Signal<S> out_;
};

template <typename S, typename Source, typename Store>
void to_spectrum(const FftwPlan<S>& plan, const Source& from, const Store& store,
                 ComplexLanes<S>* scratch) {
  const TransformByFftw<S> X(
      plan, [from](Index i) { return from.load(i); }, scratch);
  for (Index k = 0; k < plan.spectrum_size(); ++k) store(k, X.at(k));
}

template <typename S, typename Source, typename Store, typename StoreMirrored>
void to_spectra(const FftwPlan<S>& plan, const Source& from, const Store& store,
                const StoreMirrored& store_mirrored, ComplexLanes<S>* scratch) {
  const TransformByFftw<S> X(
      plan, [from](Index i) { return from.load(i); }, scratch);
  for (Index k = 0; k < plan.spectrum_size(); ++k) {
    store(k, X.at(k));
    store_mirrored(k, X.mirrored(k));
  }
}

/// Swapped before and after, the forward transform is the inverse.
template <typename S, typename Load, typename Target>
void from_spectrum(const FftwPlan<S>& plan, const Load& load, const Target& to,
                   ComplexLanes<S>* scratch) {
  const TransformByFftw<S> x(
      plan, [&load](Index k) { return swapped(load(k)); }, scratch);
  for (Index i = 0; i < plan.spectrum_size(); ++i) to.swapped().store(i, x.at(i));
}

template <typename S, typename Load, typename LoadMirrored, typename Target>
void from_spectra(const FftwPlan<S>& plan, const Load& load, const LoadMirrored& load_mirrored,
                  const Target& to, ComplexLanes<S>* scratch) {
  from_spectrum(plan, load, to, scratch);
  const TransformByFftw<S> x(
      plan, [&](Index k) { return swapped(load_mirrored(k)); }, scratch);
  for (Index i = 0; i < plan.spectrum_size(); ++i) {
    const ComplexLanes<S> conjugate = swapped(x.at(i));
    const ComplexLanes<S> sum = Signal<const S>(to).load(i);
    to.store(i, {sum.re + conjugate.re, sum.im - conjugate.im});
  }
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
