// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_FFTW_HPP
#define LORMA_FFT_FFTW_HPP

/// FFTW as an engine: the same to_spectrum and from_spectrum as fft/transform.hpp, on its own plan.
///
/// Needs fftw3.h, libfftw3 and libfftw3f, which are under the GPL; LORMA_WITH_FFTW makes this the
/// engine of Spectral. A spectrum lies in natural order, W coefficients in an element.

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
  static constexpr Index W = lane_count<S>;

  /// `length` is a multiple of W. Throws BackendError when FFTW makes no plan. The plan is FFTW's
  /// estimate: one that it measured would be another from run to run, and so would the last bits.
  explicit FftwPlan(Index length) : length_(length) {
    const std::lock_guard lock(fftw_planner());
    S* memory = Api::allocate(static_cast<std::size_t>(4 * length));
    if (memory == nullptr) throw std::bad_alloc();
    const fftw_iodim64 size{length, 1, 1};
    plan_ = Api::make(1, &size, 0, nullptr, memory, memory + length, memory + 2 * length,
                      memory + 3 * length, FFTW_ESTIMATE | FFTW_DESTROY_INPUT);
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
  Index spectrum_size() const { return length_ / W; }
  Index scratch_size() const { return 2 * spectrum_size(); }

  /// Aligned as fftw_malloc aligns; in.re, in.im, out.re, out.im at a distance of N.
  void execute(const Signal<S>& in, const Signal<S>& out) const {
    Api::execute(plan_, in.re, in.im, out.re, out.im);
  }

 private:
  Index length_;
  typename Api::Plan plan_ = nullptr;
};

/// Loads all, transforms, stores all.
template <typename S, typename Load, typename Store>
void transform_by_fftw(const FftwPlan<S>& plan, const Load& load, const Store& store,
                       ComplexLanes<S>* scratch) {
  const Index W = plan.W;
  const Index N = plan.length();
  const Signal<S> in{reinterpret_cast<S*>(scratch), reinterpret_cast<S*>(scratch) + N};
  const Signal<S> out{in.im + N, in.im + 2 * N};
  for (Index i = 0; i < N / W; ++i) in.store(i, load(i));
  plan.execute(in, out);
  for (Index i = 0; i < N / W; ++i) store(i, out.load(i));
}

template <typename S, typename Source, typename Store>
void to_spectrum(const FftwPlan<S>& plan, const Source& from, const Store& store,
                 ComplexLanes<S>* scratch) {
  transform_by_fftw(
      plan, [from](Index i) { return from.load(i); }, store, scratch);
}

/// Swapped before and after, the forward transform is the inverse.
template <typename S, typename Load, typename Target>
void from_spectrum(const FftwPlan<S>& plan, const Load& load, const Target& to,
                   ComplexLanes<S>* scratch) {
  transform_by_fftw(
      plan, [&load](Index k) { return swapped(load(k)); },
      [to = to.swapped()](Index i, const ComplexLanes<S>& x) { to.store(i, x); }, scratch);
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
