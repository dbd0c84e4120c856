// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_PLACES_HPP
#define LORMA_PRIMITIVES_PLACES_HPP

/// Whether the operands of one call lie in one place: a device has a queue of work for each
/// context, and what two of them queue is in no order.

#include <initializer_list>
#include <string>
#include <string_view>

#include "lorma/core/error.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// Where a matrix or a Workspace lies; null for a backend that knows one place alone, and for
/// nullptr, which stands for an output that is not wanted.
template <typename Backend, typename X>
const void* place_of(const X& x) {
  if constexpr (requires { Backend::place(x); }) {
    return Backend::place(x);
  } else {
    return nullptr;
  }
}

struct Placed {
  std::string_view name;
  const void* place;
};

/// Throws BackendError when an operand is known to lie elsewhere than the scratch of the call.
inline void check_places(std::string_view function, const void* here,
                         std::initializer_list<Placed> operands) {
  for (const Placed& operand : operands) {
    if (operand.place == nullptr || here == nullptr || operand.place == here) continue;
    throw BackendError("lorma::" + std::string(function) +
                       ": expected all operands in the context of the workspace or tape, got " +
                       std::string(operand.name) + " of another context");
  }
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
