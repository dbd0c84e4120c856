// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_COST_MODEL_HPP
#define LORMA_PRIMITIVES_COST_MODEL_HPP

/// What each legal route would cost, from the sizes alone, and which one Auto takes.
///
///   for (const RouteEstimate& e : explain<Auto, CyclicPermutation, Pre>({.d=1024, .k=1024, .b=256,
///                                                                        .r=8}, Task::Training))
///     std::cout << e.name << ' ' << e.work.flops() << ' ' << e.seconds << (e.chosen ? " <-" : "");
///
/// The seconds follow from the backend's CostRates and matter only as ratios.

#include <cmath>
#include <string>
#include <vector>

#include "lorma/backend/eigen_cpu.hpp"
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

/// What is asked of the layer.
enum class Task : unsigned char { Forward, Training, Merge };

/// Work of one evaluation on b columns, of numbers of `size` bytes. An evaluation of your own
/// specializes this; a backend that works in another way has a member template of the same name and
/// members, which is asked first.
template <typename Evaluation>
struct EvaluationWork;

template <>
struct EvaluationWork<Factored> {
  static Work apply(double n, double r, double b, double size) {
    return {.thin = 4 * n * r * b, .bytes = 2 * n * b * size, .starts = 2};
  }
  static Work vjp(double n, double r, double b, double size) {
    return {.thin = 8 * n * r * b, .bytes = 3 * n * b * size, .starts = 4};
  }
};

template <>
struct EvaluationWork<Dense> {
  static Work apply(double n, double r, double b, double size) {
    return {
        .product = 2 * n * n * b, .thin = 2 * n * n * r, .bytes = 3 * n * n * size, .starts = 3};
  }
  static Work vjp(double n, double r, double b, double size) {
    return {
        .product = 4 * n * n * b, .thin = 6 * n * n * r, .bytes = 6 * n * n * size, .starts = 6};
  }
};

template <>
struct EvaluationWork<Spectral> {
  /// 2.5 N log2 N; N is n, or above 2 n where n has a prime factor above 7 or fills no register.
  static double one_transform(double n) {
    auto rest = static_cast<long long>(n);
    bool good = rest % 16 == 0;
    for (const long long p : {2LL, 3LL, 5LL, 7LL}) {
      while (rest > 1 && rest % p == 0) rest /= p;
    }
    good = good && rest == 1;
    const double length = good ? n : std::max(16.0, 2.0 * n);
    return 2.5 * length * std::log2(length);
  }
  /// Real transforms of b columns, taken in pairs.
  static double columns(double b) { return 2 * std::ceil(b / 2); }
  static Work apply(double n, double r, double b, double size) {
    return {.transform = ((r + 1) * columns(b) + 2 * r) * one_transform(n),
            .bytes = 2 * n * b * size,
            .starts = 6};
  }
  static Work vjp(double n, double r, double b, double size) {
    return {.transform = ((2 * r + 2) * columns(b) + 4 * r) * one_transform(n),
            .bytes = 3 * n * b * size,
            .starts = 14};
  }
};

/// One line of explain().
struct RouteEstimate {
  std::string name;  ///< "ActivationFirst<Spectral>"
  Work work;
  double seconds = 0;
  bool chosen = false;
};

namespace detail {

/// The backend's own count where it has one.
template <typename Backend, typename Evaluation>
struct WorkOf {
  using type = EvaluationWork<Evaluation>;
};
template <typename Backend, typename Evaluation>
requires requires {
  sizeof(typename Backend::template EvaluationWork<Evaluation>);
}
struct WorkOf<Backend, Evaluation> {
  using type = typename Backend::template EvaluationWork<Evaluation>;
};

template <typename Route, typename Side, typename Backend>
Work route_work(const CallSizes& call, Task task, double size) {
  using E = typename WorkOf<Backend, typename Route::Evaluation>::type;
  const auto d = static_cast<double>(call.d);
  const auto k = static_cast<double>(call.k);
  const auto b = static_cast<double>(call.b);
  const auto r = static_cast<double>(call.r);
  const auto n = static_cast<double>(Side::dim(call.d, call.k));
  const double weight_columns = d * k / n;
  if (task == Task::Merge) return E::apply(n, r, weight_columns, size);
  const Work layer{.product = 2 * d * k * b, .bytes = (d * k + (d + k) * b) * size, .starts = 1};
  const bool on_weight = Route::where == Where::Weight;
  const double columns = on_weight ? weight_columns : b;
  Work work = layer + E::apply(n, r, columns, size);
  if (task == Task::Training) {
    work = work + layer + E::vjp(n, r, columns, size);
    if (on_weight) work = work + layer;  // the gradient of the merged weight
  }
  return work;
}

template <typename Side, typename Backend, typename... Routes>
std::vector<RouteEstimate> estimate(RouteList<Routes...>, const CallSizes& call, Task task,
                                    const CostRates& rates, double size) {
  std::vector<RouteEstimate> result;
  (result.push_back(RouteEstimate{
       std::string(Routes::where == Where::Activation ? "ActivationFirst<" : "WeightFirst<") +
           std::string(Routes::Evaluation::name) + ">",
       route_work<Routes, Side, Backend>(call, task, size),
       rates.seconds(route_work<Routes, Side, Backend>(call, task, size)), false}),
   ...);
  return result;
}

/// Position of the cheapest route; allocates nothing.
template <typename Side, typename Backend, typename... Routes>
std::size_t cheapest(RouteList<Routes...>, const CallSizes& call, Task task, const CostRates& rates,
                     double size) {
  if constexpr (sizeof...(Routes) == 1) {
    return 0;
  } else {
    const std::array<double, sizeof...(Routes)> seconds{
        rates.seconds(route_work<Routes, Side, Backend>(call, task, size))...};
    std::size_t best = 0;
    for (std::size_t i = 1; i < seconds.size(); ++i) {
      if (seconds[i] < seconds[best]) best = i;
    }
    return best;
  }
}

}  // namespace detail

/// Estimates for every legal route of an order, the one it takes marked. Cost O(1).
template <typename Order, typename Inflation, typename Side, typename S = float,
          typename Backend = EigenCpu>
std::vector<RouteEstimate> explain(const CallSizes& call, Task task,
                                   const CostRates& rates = Backend::template cost_rates<S>()) {
  using Routes = RoutesFor<Order, Inflation>;
  auto result = detail::estimate<Side, Backend>(Routes{}, call, task, rates, sizeof(S));
  result[detail::cheapest<Side, Backend>(Routes{}, call, task, rates, sizeof(S))].chosen = true;
  return result;
}

}  // namespace lorma::inline LORMA_ABI

#endif
