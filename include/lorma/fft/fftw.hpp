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
#include "lorma/fft/lanes.hpp"

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

  /// `length` is a multiple of W. Throws BackendError when FFTW makes no plan.
  explicit FftwPlan(Index length) : length_(length) {
    const std::lock_guard lock(fftw_planner());
    S* memory = Api::allocate(static_cast<std::size_t>(4 * length));
    if (memory == nullptr) throw std::bad_alloc();
    const fftw_iodim64 size{length, 1, 1};
    const auto make = [&](S* in_re, S* in_im, S* out_re, S* out_im) {
      return Api::make(1, &size, 0, nullptr, in_re, in_im, out_re, out_im,
                       FFTW_MEASURE | FFTW_DESTROY_INPUT);
    };
    // The inverse is the forward with real and imaginary parts exchanged. A plan of its own, for a
    // plan may be used again only on arrays at the same distance from each other.
    S* const re = memory + 2 * length;
    S* const im = memory + 3 * length;
    forward_ = make(memory, memory + length, re, im);
    inverse_ = make(memory + length, memory, im, re);
    Api::release(memory);
    if (forward_ == nullptr || inverse_ == nullptr) {
      release();
      throw BackendError("lorma::FftwPlan: expected a plan from FFTW for length " +
                         std::to_string(length) + ", got none");
    }
  }
  FftwPlan(const FftwPlan&) = delete;
  FftwPlan& operator=(const FftwPlan&) = delete;
  ~FftwPlan() {
    const std::lock_guard lock(fftw_planner());
    release();
  }

  Index length() const { return length_; }
  Index lane_length() const { return length_ / W; }
  Index spectrum_size() const { return length_ / W; }
  Index scratch_size() const { return 2 * spectrum_size(); }

  /// Arrays of N numbers one after the other, aligned like those of fftw_malloc.
  template <bool Inverse>
  void execute(S* re, S* im, S* out_re, S* out_im) const {
    if constexpr (Inverse) {
      Api::execute(inverse_, im, re, out_im, out_re);
    } else {
      Api::execute(forward_, re, im, out_re, out_im);
    }
  }

 private:
  void release() {
    if (forward_ != nullptr) Api::destroy(forward_);
    if (inverse_ != nullptr) Api::destroy(inverse_);
  }

  Index length_;
  typename Api::Plan forward_ = nullptr;
  typename Api::Plan inverse_ = nullptr;
};

/// Loads all, transforms, stores all.
template <bool Inverse, typename S, typename Load, typename Store>
void transform_by_fftw(const FftwPlan<S>& plan, const Load& load, const Store& store,
                       ComplexLanes<S>* scratch) {
  constexpr Index W = lane_count<S>;
  const Index N = plan.length();
  S* re = reinterpret_cast<S*>(scratch);
  S* im = re + N;
  S* out_re = im + N;
  S* out_im = out_re + N;
  for (Index i = 0; i < N / W; ++i) {
    const ComplexLanes<S> x = load(i);
    store_lanes<S>(re + W * i, x.re);
    store_lanes<S>(im + W * i, x.im);
  }
  plan.template execute<Inverse>(re, im, out_re, out_im);
  for (Index i = 0; i < N / W; ++i) {
    store(i, ComplexLanes<S>{load_lanes<S>(out_re + W * i), load_lanes<S>(out_im + W * i)});
  }
}

template <typename S, typename Load, typename Store>
void to_spectrum(const FftwPlan<S>& plan, const Load& load, const Store& store,
                 ComplexLanes<S>* scratch) {
  transform_by_fftw<false>(plan, load, store, scratch);
}

template <typename S, typename Load, typename Store>
void from_spectrum(const FftwPlan<S>& plan, const Load& load, const Store& store,
                   ComplexLanes<S>* scratch) {
  transform_by_fftw<true>(plan, load, store, scratch);
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
