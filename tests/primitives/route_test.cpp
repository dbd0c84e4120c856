// SPDX-License-Identifier: Apache-2.0
// Which routes an order stands for, and what they are thought to cost.

#include <doctest/doctest.h>

#include <lorma/lorma.hpp>

#include "../support/random_matrices.hpp"

using namespace lorma;
using lorma_tests::random_matrix;

namespace {

template <typename Routes>
std::vector<std::string> names(Routes routes) {
  std::vector<std::string> result;
  for (std::size_t i = 0; i < Routes::size; ++i) {
    visit_route(routes, i, [&](auto route) {
      using R = decltype(route);
      result.push_back((R::where == Where::Weight ? "W " : "A ") +
                       std::string(R::Evaluation::name));
    });
  }
  return result;
}

}  // namespace

TEST_CASE("orders stand for the routes that the inflation permits") {
  using V = std::vector<std::string>;
  CHECK(names(RoutesFor<Auto, Identity>{}) == V{"A Factored", "A Dense", "W Factored", "W Dense"});
  CHECK(names(RoutesFor<Auto, CyclicPermutation>{}) ==
        V{"A Spectral", "A Dense", "W Spectral", "W Dense"});
  CHECK(names(RoutesFor<ActivationFirst<>, None>{}) == V{"A Factored", "A Dense"});
  CHECK(names(RoutesFor<WeightFirst<>, CyclicPermutation>{}) == V{"W Spectral", "W Dense"});
  CHECK(names(RoutesFor<WeightFirst<Dense>, Identity>{}) == V{"W Dense"});
  CHECK(names(ActivationRoutesFor<Auto, CyclicPermutation>{}) == V{"A Spectral", "A Dense"});
  CHECK(ActivationRoutesFor<WeightFirst<>, Identity>::size == 0);
}

TEST_CASE("the estimate counts what the formulas of the documentation count") {
  const CallSizes call{.d = 64, .k = 32, .b = 16, .r = 4};
  const auto lines = Adapter<float, Identity, Auto, Pre>::explain(call, Task::Forward);
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].name == "ActivationFirst<Factored>");
  CHECK(lines[0].work.flops() == 2.0 * 64 * 32 * 16 + 4.0 * 64 * 4 * 16);
  CHECK(lines[2].name == "WeightFirst<Factored>");
  CHECK(lines[2].work.flops() == 2.0 * 64 * 32 * 16 + 4.0 * 64 * 4 * 32);
  int chosen = 0;
  for (const RouteEstimate& line : lines) {
    chosen += line.chosen ? 1 : 0;
    CHECK(line.seconds > 0);
    CHECK(line.work.bytes > 0);
  }
  CHECK(chosen == 1);
}

TEST_CASE("Auto takes the cheapest estimate, and merging many columns turns it to the weight") {
  for (const auto task : {Task::Forward, Task::Training, Task::Merge}) {
    for (const Index b : {1, 8, 256, 100000}) {
      const auto lines =
          Adapter<float, CyclicPermutation, Auto, Post>::explain({768, 1024, b, 8}, task);
      double least = std::numeric_limits<double>::infinity();
      for (const RouteEstimate& line : lines) least = std::min(least, line.seconds);
      for (const RouteEstimate& line : lines) {
        if (line.chosen) CHECK(line.seconds == least);
      }
    }
  }
  const auto few = Adapter<float, Identity, Auto, Pre>::explain({512, 512, 4, 8}, Task::Forward);
  CHECK(few[0].chosen);
  const auto many =
      Adapter<float, Identity, Auto, Pre>::explain({512, 512, 1 << 20, 8}, Task::Forward);
  CHECK((many[2].chosen || many[3].chosen));
}

TEST_CASE("rates are the caller's to give") {
  const CallSizes call{.d = 256, .k = 256, .b = 64, .r = 8};
  CostRates no_transforms;
  no_transforms.transform = 1.0;
  CHECK(Adapter<float, CyclicPermutation, ActivationFirst<>, Pre>::explain(call, Task::Forward,
                                                                           no_transforms)[1]
            .chosen);
  CostRates no_products;
  no_products.product = no_products.thin = 1.0;
  CHECK(Adapter<float, CyclicPermutation, ActivationFirst<>, Pre>::explain(call, Task::Forward,
                                                                           no_products)[0]
            .chosen);
}
