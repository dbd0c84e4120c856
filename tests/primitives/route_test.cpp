// SPDX-License-Identifier: Apache-2.0
// Which routes an order stands for, what they are thought to cost, and what a tape remembers.

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
  const auto lines = explain<Auto, Identity, Pre>(call, Task::Forward);
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
      const auto lines = explain<Auto, CyclicPermutation, Post>({768, 1024, b, 8}, task);
      double least = std::numeric_limits<double>::infinity();
      for (const RouteEstimate& line : lines) least = std::min(least, line.seconds);
      for (const RouteEstimate& line : lines) {
        if (line.chosen) CHECK(line.seconds == least);
      }
    }
  }
  const auto few = explain<Auto, Identity, Pre>({512, 512, 4, 8}, Task::Forward);
  CHECK(few[0].chosen);
  const auto many = explain<Auto, Identity, Pre>({512, 512, 1 << 20, 8}, Task::Forward);
  CHECK((many[2].chosen || many[3].chosen));
}

TEST_CASE("rates are the caller's to give") {
  const CallSizes call{.d = 256, .k = 256, .b = 64, .r = 8};
  CostRates no_transforms;
  no_transforms.transform = 1.0;
  CHECK(explain<ActivationFirst<>, CyclicPermutation, Pre>(call, Task::Forward, no_transforms)[1]
            .chosen);
  CostRates no_products;
  no_products.product = no_products.thin = 1.0;
  CHECK(explain<ActivationFirst<>, CyclicPermutation, Pre>(call, Task::Forward, no_products)[0]
            .chosen);
}

TEST_CASE("a tape answers only the adapter and the shapes that recorded it") {
  using A = Adapter<double, Identity>;
  A adapter(6, 2, 2.0);
  std::mt19937_64 urbg(1);
  adapter.initialize(urbg);
  const auto W0 = random_matrix<double>(6, 4, 1);
  const auto X = random_matrix<double>(4, 3, 2);
  const auto G = random_matrix<double>(6, 3, 3);
  Tape<A> tape;
  CHECK_FALSE(tape.recorded());
  CHECK_THROWS_AS(adapter.backward(W0, G, tape), Error);
  adapter.forward(W0, X, tape);
  CHECK(tape.recorded());
  CHECK(tape.bytes() > 0);
  const auto first = adapter.backward(W0, G, tape);
  const auto again = adapter.backward(W0, G, tape);  // a tape may be read twice
  CHECK(first.dA == again.dA);
  CHECK(first.dX == again.dX);

  CHECK_THROWS_AS(adapter.backward(W0, random_matrix<double>(6, 2, 3), tape), ShapeError);
  CHECK_THROWS_AS(adapter.backward(random_matrix<double>(6, 5, 1), G, tape), ShapeError);
  const Adapter<double, None> other(6, 2, 2.0);
  CHECK_THROWS_AS(other.backward(W0, G, tape), Error);
  const Adapter<double, Identity> wider(6, 3, 2.0);
  CHECK_THROWS_AS(wider.backward(W0, G, tape), Error);
  tape.clear();
  CHECK_FALSE(tape.recorded());
  CHECK_THROWS_AS(adapter.backward(W0, G, tape), Error);
}

TEST_CASE("a failed forward leaves no record of an older one") {
  using A = Adapter<double, CyclicPermutation>;
  A adapter(6, 2, 2.0);
  std::mt19937_64 urbg(1);
  adapter.initialize(urbg);
  Tape<A> tape;
  const auto W0 = random_matrix<double>(6, 4, 1);
  adapter.forward(W0, random_matrix<double>(4, 3, 2), tape);
  CHECK_THROWS_AS(adapter.forward(W0, random_matrix<double>(5, 3, 2), tape), ShapeError);
  // Refused before anything was recorded: either the old record is whole or there is none.
  if (tape.recorded()) CHECK_NOTHROW(adapter.backward(W0, random_matrix<double>(6, 3, 3), tape));
}
