// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_POWER_OF_TWO_HPP
#define LORMA_CORE_POWER_OF_TWO_HPP

/// Scaling by powers of two, which rounds nothing: numbers of any magnitude are brought near 1.

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "lorma/core/config.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// 2^e and 2^-e are normal numbers for all |e| up to this.
template <typename S>
inline constexpr int largest_power = 1 - std::numeric_limits<S>::min_exponent;

/// e with 2^e <= |x| < 2^(e + 1), or the nearest possible e if x is 0, denormal or not finite.
template <typename S>
int exponent_of(S x) {
  return std::clamp(std::ilogb(x), -largest_power<S>, largest_power<S>);
}

/// 2^e for any e: 0 or infinity if it is not representable.
template <typename S>
S power_of_two(int e) {
  return std::ldexp(S(1), e);
}

/// Two factors of 2^e, which itself may not be representable.
template <typename S>
std::pair<S, S> two_powers(int e) {
  const int first = std::clamp(e, -largest_power<S>, largest_power<S>);
  return {power_of_two<S>(first), power_of_two<S>(e - first)};
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
