// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_ROUTE_HPP
#define LORMA_PRIMITIVES_ROUTE_HPP

/// A route is one way through a layer: where P acts and how it is evaluated. An order policy means
/// a list of routes known at compile time; the cost model chooses among them at run time.

#include <array>
#include <string>

#include "lorma/inflation/inflation.hpp"
#include "lorma/policies/order.hpp"

namespace lorma::inline LORMA_ABI {

/// Where P acts: ActivationFirst or WeightFirst.
enum class Where : unsigned char { Activation, Weight };

/// A route as types.
template <Where Place, typename EvaluationPolicy>
struct StaticRoute {
  static constexpr Where where = Place;
  static constexpr std::string_view place =
      Place == Where::Activation ? ActivationFirst<>::name : WeightFirst<>::name;
  using Evaluation = EvaluationPolicy;
};

template <typename... Routes>
struct RouteList {
  static constexpr std::size_t size = sizeof...(Routes);
};

namespace detail {

template <typename A, typename B>
struct Concatenate;
template <typename... A, typename... B>
struct Concatenate<RouteList<A...>, RouteList<B...>> {
  using type = RouteList<A..., B...>;
};

template <Where Place, typename List>
struct RoutesOf;
template <Where Place, typename... E>
struct RoutesOf<Place, EvaluationList<E...>> {
  using type = RouteList<StaticRoute<Place, E>...>;
};

/// Turns an order policy into its routes for the evaluations of an inflation.
template <typename Order, typename Evaluations>
struct OrderRoutes {
  static constexpr bool is_order = false;
  static constexpr bool permitted = true;
  using type = RouteList<>;
};
template <typename E, typename Evaluations>
struct OrderRoutes<ActivationFirst<E>, Evaluations> {
  static constexpr bool is_order = true;
  static constexpr bool permitted = Evaluations::template contains<E>;
  using type = RouteList<StaticRoute<Where::Activation, E>>;
};
template <typename E, typename Evaluations>
struct OrderRoutes<WeightFirst<E>, Evaluations> {
  static constexpr bool is_order = true;
  static constexpr bool permitted = Evaluations::template contains<E>;
  using type = RouteList<StaticRoute<Where::Weight, E>>;
};
template <typename Evaluations>
struct OrderRoutes<ActivationFirst<Cheapest>, Evaluations> {
  static constexpr bool is_order = true;
  static constexpr bool permitted = true;
  using type = typename RoutesOf<Where::Activation, Evaluations>::type;
};
template <typename Evaluations>
struct OrderRoutes<WeightFirst<Cheapest>, Evaluations> {
  static constexpr bool is_order = true;
  static constexpr bool permitted = true;
  using type = typename RoutesOf<Where::Weight, Evaluations>::type;
};
template <typename Evaluations>
struct OrderRoutes<Auto, Evaluations> {
  static constexpr bool is_order = true;
  static constexpr bool permitted = true;
  using type = typename Concatenate<typename RoutesOf<Where::Activation, Evaluations>::type,
                                    typename RoutesOf<Where::Weight, Evaluations>::type>::type;
};

template <typename Routes>
struct ActivationOnly;
template <>
struct ActivationOnly<RouteList<>> {
  using type = RouteList<>;
};
template <typename R, typename... Rest>
struct ActivationOnly<RouteList<R, Rest...>> {
  using Tail = typename ActivationOnly<RouteList<Rest...>>::type;
  using type = std::conditional_t<R::where == Where::Activation,
                                  typename Concatenate<RouteList<R>, Tail>::type, Tail>;
};

}  // namespace detail

/// Legal routes of an order for an inflation.
template <typename Order, typename Inflation>
using RoutesFor = typename detail::OrderRoutes<Order, typename Inflation::Evaluations>::type;

/// Of those, the ones that need no entry of W0.
template <typename Order, typename Inflation>
using ActivationRoutesFor = typename detail::ActivationOnly<RoutesFor<Order, Inflation>>::type;

/// Calls f(StaticRoute{}) for the route at `position` of the list; returns what f returns.
template <typename R, typename... Rest, typename F>
decltype(auto) visit_route(RouteList<R, Rest...>, std::size_t position, F&& f) {
  if constexpr (sizeof...(Rest) == 0) {
    return f(R{});
  } else {
    if (position == 0) return f(R{});
    return visit_route(RouteList<Rest...>{}, position - 1, std::forward<F>(f));
  }
}

}  // namespace lorma::inline LORMA_ABI

#endif
