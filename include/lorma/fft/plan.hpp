// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_PLAN_HPP
#define LORMA_FFT_PLAN_HPP

/// Lengths, factors and roots of unity of the transforms.

#include <cmath>
#include <numbers>
#include <numeric>
#include <vector>

#include "lorma/fft/lanes.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// True when n has no prime factor above 7.
constexpr bool is_smooth(Index n) {
  for (const Index p : {Index(2), Index(3), Index(5), Index(7)}) {
    while (n > 1 && n % p == 0) n /= p;
  }
  return n == 1;
}

/// Length of the real signals that carry a circular correlation of length n, a multiple of W: n
/// itself when it is smooth and fills the lanes, else the next such length that holds 2n - 1, where
/// the signal is laid out periodically. Their transforms are complex and half as long.
template <typename S>
Index signal_length(Index n) {
  constexpr Index W = lane_count<S>;
  if (n % W == 0 && is_smooth(n)) return n;
  Index length = (2 * n - 1 + W - 1) / W * W;
  while (!is_smooth(length)) length += W;
  return length;
}

/// Plan for a smooth length N = V L: passes of radix 8, 4, 2, 3, 5, 7 for the L of each
/// lane, then one of radix V across lanes.
template <typename S>
class FftPlan {
 public:
  static constexpr Index W = lane_count<S>;
  static constexpr Index V = lane_samples<S>;

  struct Pass {
    int radix;
    Index m;                                 ///< butterflies in a block
    Index step;                              ///< between the numbers that a butterfly stores
    std::vector<Index> places;               ///< where each block stores
    std::vector<ComplexScalar<S>> twiddles;  ///< (radix - 1) for each of m, forward
  };

  /// `length` is smooth and a multiple of V.
  explicit FftPlan(Index length) : length_(length) {
    Index remaining = lane_length();
    std::vector<Index> natural{0};  // coefficient that comes first in each block
    for (const int radix : radices(remaining)) {
      const Index m = remaining / radix;
      const auto blocks = static_cast<Index>(natural.size());
      Pass pass{radix, m, m > 1 ? m : blocks, natural, {}};
      if (m > 1) {
        for (Index i = 0; i < blocks; ++i) pass.places[std::size_t(i)] = i * remaining;
      }
      for (Index p = 0; p < m; ++p) {
        for (int j = 1; j < radix; ++j) pass.twiddles.push_back(root(p * j, remaining));
      }
      passes_.push_back(std::move(pass));
      std::vector<Index> next;
      for (const Index first : natural) {
        for (int j = 0; j < radix; ++j) next.push_back(first + blocks * j);
      }
      natural = std::move(next);
      remaining = m;
    }
    if (!passes_.empty()) {
      last_in_place_ = passes_.back();
      last_in_place_.step = 1;
      for (std::size_t i = 0; i < last_in_place_.places.size(); ++i) {
        last_in_place_.places[i] = Index(i) * last_in_place_.radix;
      }
    }
    places_.resize(std::size_t(spectrum_size()));
    std::iota(places_.begin(), places_.end(), Index(0));
    for (std::size_t i = 0; i < natural.size(); ++i) places_[std::size_t(natural[i])] = Index(i);
    // Lane l of block g, row j: w_N^(j f), f = V g + l; zero beyond L.
    lane_twiddles_.resize(static_cast<std::size_t>(2 * spectrum_size() * V));
    for (Index k = 0; k < spectrum_size(); ++k) {
      S* to = lane_twiddles_.data() + 2 * V * k;
      for (Index l = 0; l < V; ++l) {
        const Index f = k / V * V + l;
        if (f >= lane_length()) continue;
        const ComplexScalar<S> w = root(f * (k % V), length_);
        to[l] = w.re;
        to[V + l] = w.im;
      }
    }
  }

  /// N
  Index length() const { return length_; }
  /// L = N / V: elements of a signal.
  Index lane_length() const { return length_ / V; }
  /// Elements of a spectrum: L rounded up to a multiple of V.
  Index spectrum_size() const { return (lane_length() + V - 1) / V * V; }
  /// Elements of scratch that a transform needs.
  Index scratch_size() const { return spectrum_size(); }

  const std::vector<Pass>& passes() const { return passes_; }
  /// The last of them, leaving its numbers in place: coefficient f is then element place(f).
  const Pass& last_in_place() const { return last_in_place_; }
  Index place(Index f) const { return places_[static_cast<std::size_t>(f)]; }
  /// The coefficient of a lane that is conj of coefficient f where the signal is conj of itself.
  Index mirrored(Index f) const { return f == 0 || f >= lane_length() ? f : lane_length() - f; }
  ComplexLanes<S> lane_twiddle(Index k) const {
    const S* from = lane_twiddles_.data() + 2 * V * k;
    return {load_twice(from), load_twice(from + V)};
  }

 private:
  static ComplexScalar<S> root(Index power, Index n) {
    const long double angle = -2.0L * std::numbers::pi_v<long double> *
                              static_cast<long double>(power % n) / static_cast<long double>(n);
    return {static_cast<S>(std::cos(angle)), static_cast<S>(std::sin(angle))};
  }

  static std::vector<int> radices(Index rest) {
    std::vector<int> result;
    for (const int p : {7, 5, 3}) {
      for (; rest % p == 0; rest /= p) result.push_back(p);
    }
    int twos = 0;
    for (; rest % 2 == 0; rest /= 2) ++twos;
    for (; twos >= 3 && twos != 4; twos -= 3) result.push_back(8);
    for (; twos >= 2; twos -= 2) result.push_back(4);
    if (twos == 1) result.push_back(2);
    return result;
  }

  Index length_;
  std::vector<Pass> passes_;
  Pass last_in_place_{};
  std::vector<Index> places_;
  std::vector<S> lane_twiddles_;
};

}  // namespace lorma::inline LORMA_ABI::detail

#endif
