// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_BUTTERFLIES_HPP
#define LORMA_FFT_BUTTERFLIES_HPP

/// Discrete Fourier transforms of length 1 to 5, 7 and 8, in place on registers.
///
/// y_j = sum_k x_k exp(-2 pi i j k / R), no scaling. Odd lengths pair x_k with x_{R-k}: half the
/// multiplications of the definition.

#include "lorma/fft/lanes.hpp"

namespace lorma::inline LORMA_ABI::detail {

template <int R>
struct Butterfly;

template <>
struct Butterfly<1> {
  template <typename S, typename C>
  LORMA_INLINE static void apply(C*) {}
};

template <>
struct Butterfly<2> {
  template <typename S, typename C>
  LORMA_INLINE static void apply(C* x) {
    const C a = x[0];
    x[0] = a + x[1];
    x[1] = a - x[1];
  }
};

template <>
struct Butterfly<4> {
  template <typename S, typename C>
  LORMA_INLINE static void apply(C* x) {
    const C a = x[0] + x[2];
    const C b = x[0] - x[2];
    const C c = x[1] + x[3];
    const C d = turned(x[1] - x[3]);
    x[0] = a + c;
    x[1] = b + d;
    x[2] = a - c;
    x[3] = b - d;
  }
};

template <>
struct Butterfly<8> {
  template <typename S, typename C>
  LORMA_INLINE static void apply(C* x) {
    C even[4] = {x[0], x[2], x[4], x[6]};
    C odd[4] = {x[1], x[3], x[5], x[7]};
    Butterfly<4>::apply<S>(even);
    Butterfly<4>::apply<S>(odd);
    constexpr S root_half = S(0.70710678118654752440084436210484903928L);
    const C t1 = turned(odd[1]);
    const C t3 = turned(odd[3]);
    odd[1] = scaled(odd[1] + t1, root_half);
    odd[2] = turned(odd[2]);
    odd[3] = scaled(t3 - odd[3], root_half);
    LORMA_UNROLL
    for (int j = 0; j < 4; ++j) {
      x[j] = even[j] + odd[j];
      x[j + 4] = even[j] - odd[j];
    }
  }
};

/// Cosines and sines of 2 pi j / R for odd R.
template <int R>
struct OddRoots;
template <>
struct OddRoots<3> {
  static constexpr long double cosine[] = {1.0L, -0.5L};
  static constexpr long double sine[] = {0.0L, 0.86602540378443864676372317075293618347L};
};
template <>
struct OddRoots<5> {
  static constexpr long double cosine[] = {1.0L, 0.30901699437494742410229341718281905886L,
                                           -0.80901699437494742410229341718281905886L};
  static constexpr long double sine[] = {0.0L, 0.95105651629515357211643933337938214340L,
                                         0.58778525229247312916870595463907276860L};
};
template <>
struct OddRoots<7> {
  static constexpr long double cosine[] = {1.0L, 0.62348980185873353052500488400423981063L,
                                           -0.22252093395631440428890256449679475947L,
                                           -0.90096886790241912623610231950744505116L};
  static constexpr long double sine[] = {0.0L, 0.78183148246802980870844452667405775023L,
                                         0.97492791218182360701813168299393121723L,
                                         0.43388373911755812047576833284835875461L};
};

template <int R>
struct OddButterfly {
  template <typename S, typename C>
  LORMA_INLINE static void apply(C* x) {
    constexpr int half = R / 2;
    C sum[half + 1];
    C difference[half + 1];
    C total = x[0];
    LORMA_UNROLL
    for (int k = 1; k <= half; ++k) {
      sum[k] = x[k] + x[R - k];
      difference[k] = turned(x[k] - x[R - k]);
      total = total + sum[k];
    }
    LORMA_UNROLL
    for (int j = 1; j <= half; ++j) {
      C even = x[0];
      C odd = scaled(difference[1], S(sine_of(j)));
      even = even + scaled(sum[1], S(cosine_of(j)));
      LORMA_UNROLL
      for (int k = 2; k <= half; ++k) {
        even = even + scaled(sum[k], S(cosine_of(j * k)));
        odd = odd + scaled(difference[k], S(sine_of(j * k)));
      }
      x[j] = even + odd;
      x[R - j] = even - odd;
    }
    x[0] = total;
  }

 private:
  static constexpr long double cosine_of(int jk) {
    const int m = jk % R;
    return OddRoots<R>::cosine[m <= R / 2 ? m : R - m];
  }
  static constexpr long double sine_of(int jk) {
    const int m = jk % R;
    return m <= R / 2 ? OddRoots<R>::sine[m] : -OddRoots<R>::sine[R - m];
  }
};

template <>
struct Butterfly<3> : OddButterfly<3> {};
template <>
struct Butterfly<5> : OddButterfly<5> {};
template <>
struct Butterfly<7> : OddButterfly<7> {};

}  // namespace lorma::inline LORMA_ABI::detail

#endif
