// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_POWER_OF_TWO_HPP
#define LORMA_CORE_POWER_OF_TWO_HPP

/// Scaling by powers of two, which rounds nothing: numbers of any size are worked on near 1.

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <limits>

#include "lorma/core/types.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// 2^e and 2^-e are normal numbers for all |e| up to this.
template <typename S>
inline constexpr int largest_power = 1 - std::numeric_limits<S>::min_exponent;

/// e with 2^e <= |x| < 2^(e + 1), the nearest that is possible where x is 0, denormal or not finite.
template <typename S>
int exponent_of(S x) {
  return std::clamp(std::ilogb(x), -largest_power<S>, largest_power<S>);
}

/// That of the largest of n numbers; NaN may or may not count.
template <typename S>
int largest_exponent(const S* x, Index n) {
  // Four chains of packets: Eigen's own reduction waits for one or two.
  using namespace Eigen::internal;  // NOLINT(google-build-using-namespace)
  using Packet = typename packet_traits<S>::type;
  constexpr Index size = unpacket_traits<Packet>::size;
  Index i = 0;
  S largest = 0;
  if (n >= 4 * size) {
    Packet m[4];
    for (Index j = 0; j < 4; ++j) m[j] = pabs(ploadu<Packet>(x + j * size));
    for (i = 4 * size; i + 4 * size <= n; i += 4 * size) {
      for (Index j = 0; j < 4; ++j) m[j] = pmax(m[j], pabs(ploadu<Packet>(x + i + j * size)));
    }
    largest = predux_max(pmax(pmax(m[0], m[1]), pmax(m[2], m[3])));
  }
  for (; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  return exponent_of(largest);
}

/// 2^e for any e: 0 or infinity where that is no number.
template <typename S>
S power_of_two(int e) {
  return std::ldexp(S(1), e);
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
