// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_COST_MODEL_HPP
#define LORMA_PRIMITIVES_COST_MODEL_HPP

/// What each legal route would cost, from the sizes alone, and which one Auto takes.
///
///   using A = Adapter<float, CyclicPermutation>;
///   for (const RouteEstimate& e : A::explain({.d=1024, .k=1024, .b=256, .r=8}, Task::Training))
///     std::cout << e.name << ' ' << e.work.flops() << ' ' << e.seconds << (e.chosen ? " <-" : "");
///
/// The evaluation itself reports the work that it does (Operator::work). The seconds follow from
/// the backend's CostRates and matter only as ratios.

#include <array>
#include <string>
#include <vector>

#include "lorma/operators/operator.hpp"
#include "lorma/policies/side.hpp"
#include "lorma/primitives/route.hpp"

namespace lorma::inline LORMA_ABI {

/// Sizes of one call: W0 is d x k, X is k x b, factors have rank r.
struct CallSizes {
  Index d = 0;
  Index k = 0;
  Index b = 0;
  Index r = 0;
};

/// What the layer is used for. Training is a forward and a backward; Merge needs no b.
enum class Task : unsigned char { Forward, Training, Merge };

/// One line of explain().
struct RouteEstimate {
  std::string name;  ///< "ActivationFirst<Spectral>"
  Work work;
  double seconds = 0;
  bool chosen = false;
};

namespace detail {

template <typename Route, typename Inflation, typename Side, typename Backend, typename S>
Work route_work(const CallSizes& call, Task task) {
  using Op = Operator<typename Route::Evaluation, Inflation, Backend, S>;
  const auto d = static_cast<double>(call.d);
  const auto k = static_cast<double>(call.k);
  const auto b = static_cast<double>(call.b);
  const auto r = static_cast<double>(call.r);
  const auto n = static_cast<double>(Side::dim(call.d, call.k));
  const double weight_columns = d * k / n;
  if (task == Task::Merge) return Op::work(Action::apply, n, r, weight_columns);
  const Work layer{
      .product = 2 * d * k * b, .bytes = (d * k + (d + k) * b) * sizeof(S), .starts = 1};
  const bool on_weight = Route::where == Where::Weight;
  const double columns = on_weight ? weight_columns : b;
  Work work = layer + Op::work(Action::apply, n, r, columns);
  if (task == Task::Training) {
    work = work + layer + Op::work(Action::vjp, n, r, columns);
    if (on_weight) work = work + layer;  // the gradient of the merged weight
  }
  return work;
}

template <typename Inflation, typename Side, typename Backend, typename S, typename... Routes>
std::vector<RouteEstimate> estimate(RouteList<Routes...>, const CallSizes& call, Task task,
                                    const CostRates& rates) {
  std::vector<RouteEstimate> result;
  const auto add = [&]<typename Route>(Route) {
    const Work work = route_work<Route, Inflation, Side, Backend, S>(call, task);
    std::string name(Route::place);
    name.append("<").append(Route::Evaluation::name).append(">");
    result.push_back({std::move(name), work, rates.seconds(work), false});
  };
  (add(Routes{}), ...);
  return result;
}

/// Position of the cheapest route; allocates nothing.
template <typename Inflation, typename Side, typename Backend, typename S, typename... Routes>
std::size_t cheapest(RouteList<Routes...>, const CallSizes& call, Task task,
                     const CostRates& rates = Backend::template cost_rates<S>()) {
  if constexpr (sizeof...(Routes) == 1) {
    return 0;
  } else {
    const std::array<double, sizeof...(Routes)> seconds{
        rates.seconds(route_work<Routes, Inflation, Side, Backend, S>(call, task))...};
    std::size_t best = 0;
    for (std::size_t i = 1; i < seconds.size(); ++i) {
      if (seconds[i] < seconds[best]) best = i;
    }
    return best;
  }
}

/// Estimates for every legal route of an order, with the chosen one marked.
template <typename Order, typename Inflation, typename Side, typename S, typename Backend>
std::vector<RouteEstimate> explain(const CallSizes& call, Task task, const CostRates& rates) {
  using Routes = RoutesFor<Order, Inflation>;
  auto result = estimate<Inflation, Side, Backend, S>(Routes{}, call, task, rates);
  result[cheapest<Inflation, Side, Backend, S>(Routes{}, call, task, rates)].chosen = true;
  return result;
}

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI

#endif
