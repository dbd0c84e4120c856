// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_CHECK_POLICIES_HPP
#define LORMA_PRIMITIVES_CHECK_POLICIES_HPP

/// Every illegal combination of policies, each refused in one sentence.

#include <type_traits>

#include "lorma/backend/backend.hpp"
#include "lorma/policies/side.hpp"
#include "lorma/primitives/route.hpp"

namespace lorma::inline LORMA_ABI::detail {

template <typename T>
inline constexpr bool is_side = std::is_same_v<T, Pre> || std::is_same_v<T, Post>;

/// One assert for each missing member, so that the first line of the log names it.
template <typename Inflation>
struct CheckInflation {
  static_assert(NamesItself<Inflation>,
                "lorma: the Inflation needs `static constexpr std::string_view name`; legal are "
                "Identity, CyclicPermutation, None or your own InflationPolicy");
  static_assert(
      !NamesItself<Inflation> || ListsEvaluations<Inflation>,
      "lorma: the Inflation needs `using Evaluations = EvaluationList<...>` with at least "
      "Dense in it");
  static_assert(!NamesItself<Inflation> || CountsCopies<Inflation>,
                "lorma: the Inflation needs `static constexpr Index copies`, at least 1");
  static_assert(!NamesItself<Inflation> || SaysHowItStarts<Inflation>,
                "lorma: the Inflation needs `static constexpr bool starts_as_identity`");
  static_assert(!NamesItself<Inflation> || Inflates<Inflation>,
                "lorma: the Inflation needs `template <class Backend, class S> static "
                "MatrixView<S> inflate(Workspace&, const MatrixView<S>&)`");
  static_assert(!NamesItself<Inflation> || Deflates<Inflation>,
                "lorma: the Inflation needs `template <class Backend, class S> static "
                "MatrixView<S> deflate(Workspace&, const MatrixView<S>&)`, the adjoint of inflate");
  static_assert(!NamesItself<Inflation> || Initializes<Inflation>,
                "lorma: the Inflation needs `static void initialize(B, A, scale, urbg)` on "
                "MatrixViews");
  static constexpr bool ok = InflationPolicy<Inflation>;
};

/// The checks of the inflation and the backend are base classes, so that their asserts come first.
template <typename S, typename Inflation, typename Order, typename Side, typename Backend>
struct CheckPolicies : CheckInflation<Inflation>, CheckBackend<Backend> {
  /// A type that is no backend at all is refused by CheckBackend, with its own sentence.
  template <typename B>
  static constexpr bool computes() {
    if constexpr (BackendPolicy<B>) {
      return B::template computes<S>;
    } else {
      return true;
    }
  }
  static_assert(ElementScalar<S> && computes<Backend>(),
                "lorma: Scalar must be float or double; half and bfloat16 are storage types of W0 "
                "for a float adapter (with the backend CuBlas they are Scalars too)");
  static_assert(is_side<Side>, "lorma: Side must be Pre (W = P W0) or Post (W = W0 P)");

  template <typename I>
  static constexpr bool order_is_known() {
    if constexpr (InflationPolicy<I>) {
      return OrderRoutes<Order, typename I::Evaluations>::is_order;
    } else {
      return true;
    }
  }
  template <typename I>
  static constexpr bool evaluation_is_permitted() {
    if constexpr (InflationPolicy<I>) {
      return OrderRoutes<Order, typename I::Evaluations>::permitted;
    } else {
      return true;
    }
  }
  static_assert(
      order_is_known<Inflation>(),
      "lorma: Order must be Auto, ActivationFirst<Evaluation> or WeightFirst<Evaluation>");
  static_assert(evaluation_is_permitted<Inflation>(),
                "lorma: this Inflation does not permit this Evaluation: use Factored or Dense with "
                "Identity and None, Spectral or Dense with CyclicPermutation (full rank, so never "
                "Factored), or leave the choice to the library with Auto");
  static constexpr bool ok = true;
};

}  // namespace lorma::inline LORMA_ABI::detail

#endif
