// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_POLICIES_ORDER_HPP
#define LORMA_POLICIES_ORDER_HPP

/// Where P = I(BA) acts.

#include "lorma/policies/evaluation.hpp"

namespace lorma::inline LORMA_ABI {

/// On activations: Pre `P (W0 X)`, Post `W0 (P X)`.
template <typename EvaluationPolicy = Cheapest>
struct ActivationFirst {
  static constexpr std::string_view name = "ActivationFirst";
  using Evaluation = EvaluationPolicy;
};

/// On the weight, then times X: `(P W0) X` or `(W0 P) X`, as the published Python code does.
template <typename EvaluationPolicy = Cheapest>
struct WeightFirst {
  static constexpr std::string_view name = "WeightFirst";
  using Evaluation = EvaluationPolicy;
};

/// Whatever the cost model expects to be fastest for the shapes at hand.
struct Auto {
  static constexpr std::string_view name = "Auto";
};

}  // namespace lorma::inline LORMA_ABI

#endif
