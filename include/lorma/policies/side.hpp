// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_POLICIES_SIDE_HPP
#define LORMA_POLICIES_SIDE_HPP

/// On which side of the frozen weight W0 (d x k) the multiplier stands.

#include <string_view>

#include "lorma/core/types.hpp"

namespace lorma::inline LORMA_ABI {

/// W = I(BA) W0, n = d.
struct Pre {
  static constexpr std::string_view name = "Pre";
  static constexpr Index dim(Index d, Index /*k*/) { return d; }
};

/// W = W0 I(BA), n = k.
struct Post {
  static constexpr std::string_view name = "Post";
  static constexpr Index dim(Index /*d*/, Index k) { return k; }
};

}  // namespace lorma::inline LORMA_ABI

#endif
