// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_POLICIES_EVALUATION_HPP
#define LORMA_POLICIES_EVALUATION_HPP

/// How the n x n operator P = I(BA) is evaluated.

#include <string_view>
#include <type_traits>

#include "lorma/core/config.hpp"

namespace lorma::inline LORMA_ABI {

/// Through the factors, `Y + s B (A Y)`: O(n r) a column, never n x n.
struct Factored {
  static constexpr std::string_view name = "Factored";
};

/// P is formed and multiplied: O(n^2) a column and n^2 memory; every inflation permits it.
struct Dense {
  static constexpr std::string_view name = "Dense";
};

/// As a sum of diagonal times circulant matrices through the real Fourier transform:
/// O(r n log n) a column, O(n r) memory (docs/mathematics.md).
struct Spectral {
  static constexpr std::string_view name = "Spectral";
};

/// The cheapest evaluation that the inflation permits, by the cost model.
struct Cheapest {
  static constexpr std::string_view name = "Cheapest";
};

/// What an inflation permits, as `using Evaluations = EvaluationList<...>`.
template <typename... Evaluation>
struct EvaluationList {
  template <typename E>
  static constexpr bool contains = (std::is_same_v<E, Evaluation> || ...);
};

}  // namespace lorma::inline LORMA_ABI

#endif
