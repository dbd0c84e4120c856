// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_PLAN_HPP
#define LORMA_FFT_PLAN_HPP

/// Lengths, factors and roots of unity of the transforms; made once, shared by all threads.

#include <cmath>
#include <list>
#include <memory>
#include <mutex>
#include <numbers>
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

/// Length of the transforms that carry a circular correlation of length n: n itself when smooth,
/// else the next smooth length that holds 2n - 1, where the signal is laid out periodically.
inline Index transform_length(Index n) {
  if (is_smooth(n)) return n;
  Index length = 2 * n - 1;
  while (!is_smooth(length)) ++length;
  return length;
}

/// A Stockham plan for a smooth length: passes of radix 8, 4, 2, 3, 5, 7.
template <typename S>
class FftPlan {
 public:
  struct Pass {
    int radix;
    Index m;                                 ///< butterflies of different twiddle
    Index stride;                            ///< butterflies that share a twiddle
    std::vector<ComplexScalar<S>> twiddles;  ///< (radix - 1) for each of m, forward
  };

  explicit FftPlan(Index length) : length_(length) {
    std::vector<int> radices;
    Index rest = length;
    for (const int p : {7, 5, 3}) {
      while (rest % p == 0) {
        radices.push_back(p);
        rest /= p;
      }
    }
    int twos = 0;
    while (rest % 2 == 0) {
      ++twos;
      rest /= 2;
    }
    while (twos >= 3 && twos != 4) {
      radices.push_back(8);
      twos -= 3;
    }
    for (; twos >= 2; twos -= 2) radices.push_back(4);
    if (twos == 1) radices.push_back(2);
    if (radices.empty()) radices.push_back(1);

    Index remaining = length;
    Index stride = 1;
    for (const int radix : radices) {
      Pass pass{radix, remaining / radix, stride, {}};
      for (Index p = 0; p < pass.m; ++p) {
        for (int j = 1; j < radix; ++j) {
          const long double angle = -2.0L * std::numbers::pi_v<long double> *
                                    static_cast<long double>((p * j) % remaining) /
                                    static_cast<long double>(remaining);
          pass.twiddles.push_back(
              {static_cast<S>(std::cos(angle)), static_cast<S>(std::sin(angle))});
        }
      }
      passes_.push_back(std::move(pass));
      remaining /= radix;
      stride *= radix;
    }
  }

  Index length() const { return length_; }
  const std::vector<Pass>& passes() const { return passes_; }

 private:
  Index length_;
  std::vector<Pass> passes_;
};

/// The plan of a length, from a cache of the last few. Safe from several threads.
template <typename S>
std::shared_ptr<const FftPlan<S>> fft_plan(Index length) {
  constexpr std::size_t capacity = 32;
  static std::mutex mutex;
  static std::list<std::shared_ptr<const FftPlan<S>>> recent;
  const std::lock_guard lock(mutex);
  for (auto it = recent.begin(); it != recent.end(); ++it) {
    if ((*it)->length() == length) {
      recent.splice(recent.begin(), recent, it);
      return recent.front();
    }
  }
  recent.push_front(std::make_shared<const FftPlan<S>>(length));
  if (recent.size() > capacity) recent.pop_back();
  return recent.front();
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
