// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_LANES_HPP
#define LORMA_FFT_LANES_HPP

/// The unit of the transforms: W complex numbers side by side in two SIMD registers.
///
/// Two columns share a register, V = W / 2 numbers each, and nothing but the register: no operation
/// crosses from one half to the other. A signal z of length N lies as N / V such elements, element
/// i holding z(V i), ..., z(V i + V - 1) of the one and of the other. Each lane then holds every
/// V-th sample, a butterfly over elements is the textbook's formula on whole registers, and only
/// the last pass (fft/lane_pass.hpp) crosses lanes.

#include <Eigen/Core>
#include <algorithm>
#include <cstring>
#include <utility>

#include "lorma/core/types.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// W: numbers in a register, as many as Eigen's packets hold, but at least one for each column.
template <typename S>
inline constexpr int lane_count = std::max(
    2,
    int(Eigen::internal::unpacket_traits<typename Eigen::internal::packet_traits<S>::type>::size));
/// V: those of one column.
template <typename S>
inline constexpr int lane_samples = lane_count<S> / 2;

#ifndef LORMA_NO_GNU_VECTORS
template <typename S, int Width>
struct LaneType {
  // may_alias: tiles are filled number by number.
  typedef S type  // NOLINT(modernize-use-using)
      __attribute__((vector_size(sizeof(S) * Width), may_alias));
};
#else
/// Zero from {}, as vectors of the compiler are and Eigen's arrays are not.
template <typename S, int Width>
struct LaneArray : Eigen::Array<S, Width, 1> {
  LaneArray() : Eigen::Array<S, Width, 1>(Eigen::Array<S, Width, 1>::Zero()) {}
  template <typename Expression>
  LaneArray(const Eigen::ArrayBase<Expression>& x) : Eigen::Array<S, Width, 1>(x) {}  // NOLINT
};
template <typename S, int Width>
struct LaneType {
  using type = LaneArray<S, Width>;
};
#endif

/// Before a loop of a constant few rounds over registers: without it GCC keeps them in memory at
/// -O2.
#if defined(__clang__)
#define LORMA_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define LORMA_UNROLL _Pragma("GCC unroll 16")
#else
#define LORMA_UNROLL
#endif

/// Before a function that must not cost a call between registers.
#if defined(__GNUC__)
#define LORMA_INLINE [[gnu::always_inline]] inline
#else
#define LORMA_INLINE inline
#endif

template <typename S>
using Lanes = typename LaneType<S, lane_count<S>>::type;

template <typename S>
Lanes<S> load_lanes(const S* from) {
  Lanes<S> v;
  std::memcpy(static_cast<void*>(&v), from, sizeof v);
  return v;
}
template <typename S>
void store_lanes(S* to, const Lanes<S>& v) {
  std::memcpy(to, static_cast<const void*>(&v), sizeof v);
}

#if defined(__has_builtin) && !defined(LORMA_NO_GNU_VECTORS)
#if __has_builtin(__builtin_shufflevector)
#define LORMA_SHUFFLE __builtin_shufflevector
#endif
#endif

/// Lane i is lane At(i) of a and b one after the other.
template <typename S, auto At>
LORMA_INLINE Lanes<S> picked(const Lanes<S>& a, const Lanes<S>& b) {
  constexpr int W = lane_count<S>;
#ifdef LORMA_SHUFFLE
  return [&]<int... I>(std::integer_sequence<int, I...>) {
    return LORMA_SHUFFLE(a, b, At(I)...);
  }
  (std::make_integer_sequence<int, W>());
#else
  S from[2 * W];
  S to[W];
  store_lanes<S>(from, a);
  store_lanes<S>(from + W, b);
  for (int i = 0; i < W; ++i) to[i] = from[At(i)];
  return load_lanes<S>(to);
#endif
}
/// The same V numbers for both columns.
template <typename S>
LORMA_INLINE Lanes<S> load_twice(const S* from) {
  constexpr int V = lane_samples<S>;
#if defined(LORMA_SHUFFLE) && defined(__AVX512DQ__)
  // One load; GCC makes a load and a shuffle of what stands below.
  if constexpr (sizeof(S) * V == 32) {
    if constexpr (sizeof(S) == 4) {
      return (Lanes<S>)_mm512_maskz_broadcast_f32x8(__mmask16(-1), _mm256_loadu_ps(from));
    } else {
      return (Lanes<S>)_mm512_maskz_broadcast_f64x4(__mmask8(-1), _mm256_loadu_pd(from));
    }
  }
#endif
#ifdef LORMA_SHUFFLE
  typedef S Half __attribute__((vector_size(sizeof(S) * V), may_alias));  // NOLINT
  Half half;
  std::memcpy(static_cast<void*>(&half), from, sizeof half);
  return [&half]<int... I>(std::integer_sequence<int, I...>) {
    return LORMA_SHUFFLE(half, half, I % V...);
  }
  (std::make_integer_sequence<int, 2 * V>());
#else
  S to[2 * V];
  for (int i = 0; i < 2 * V; ++i) to[i] = from[i % V];
  return load_lanes<S>(to);
#endif
}
/// Both columns of a added up, then those of b.
template <typename S>
LORMA_INLINE Lanes<S> column_sums(const Lanes<S>& a, const Lanes<S>& b) {
  constexpr auto first = [](int i) {
    return i < lane_samples<S> ? i : lane_count<S> + i;  // a blend
  };
  constexpr auto second = [](int i) {
    return i < lane_samples<S> ? lane_samples<S> + i : lane_count<S> + i - lane_samples<S>;
  };
  return picked<S, first>(a, b) + picked<S, second>(a, b);
}

/// The larger in each lane.
template <typename S>
LORMA_INLINE Lanes<S> larger(const Lanes<S>& a, const Lanes<S>& b) {
#ifndef LORMA_NO_GNU_VECTORS
  return a > b ? a : b;
#else
  return a.max(b);
#endif
}

/// One complex number in each lane.
template <typename S>
struct ComplexLanes {
  Lanes<S> re;
  Lanes<S> im;

  friend ComplexLanes operator+(const ComplexLanes& a, const ComplexLanes& b) {
    return {a.re + b.re, a.im + b.im};
  }
  friend ComplexLanes operator-(const ComplexLanes& a, const ComplexLanes& b) {
    return {a.re - b.re, a.im - b.im};
  }
};

/// A complex factor that is the same in every lane.
template <typename S>
struct ComplexScalar {
  S re;
  S im;
};

/// a w, for one w or one in each lane.
template <typename S, typename W>
ComplexLanes<S> multiply(const ComplexLanes<S>& a, const W& w) {
  return {a.re * w.re - a.im * w.im, a.re * w.im + a.im * w.re};
}
/// a conj(w)
template <typename S>
ComplexLanes<S> multiply_conjugate(const ComplexLanes<S>& a, const ComplexLanes<S>& w) {
  return {a.re * w.re + a.im * w.im, a.im * w.re - a.re * w.im};
}
/// c + a w and c + a conj(w), in steps that are fused multiply-adds where the target has them.
template <typename S>
ComplexLanes<S> plus_product(const ComplexLanes<S>& c, const ComplexLanes<S>& a,
                             const ComplexLanes<S>& w) {
  return {c.re + a.re * w.re - a.im * w.im, c.im + a.re * w.im + a.im * w.re};
}
template <typename S>
ComplexLanes<S> plus_conjugate_product(const ComplexLanes<S>& c, const ComplexLanes<S>& a,
                                       const ComplexLanes<S>& w) {
  return {c.re + a.re * w.re + a.im * w.im, c.im + a.im * w.re - a.re * w.im};
}
/// t a, for one real t or one in each lane.
template <typename S, typename T>
ComplexLanes<S> scaled(const ComplexLanes<S>& a, const T& t) {
  return {a.re * t, a.im * t};
}
/// Real times real and imaginary times imaginary parts: entries of real columns (fft/signal.hpp).
template <typename S>
ComplexLanes<S> products(const ComplexLanes<S>& a, const ComplexLanes<S>& b) {
  return {a.re * b.re, a.im * b.im};
}
/// -i a
template <typename S>
ComplexLanes<S> turned(const ComplexLanes<S>& a) {
  return {a.im, -a.re};
}
/// i conj(a). A transform of swapped numbers, swapped again, is the inverse transform.
template <typename S>
ComplexLanes<S> swapped(const ComplexLanes<S>& a) {
  return {a.im, a.re};
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
