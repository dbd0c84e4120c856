// SPDX-License-Identifier: Apache-2.0

#include <doctest/doctest.h>

#include <lorma/adapter/by_name.hpp>
#include <set>
#include <string>

using namespace lorma;

TEST_CASE("every combination of names becomes its type, once") {
  std::set<std::string> seen;
  int calls = 0;
  for (const auto* inflation : {"Identity", "CyclicPermutation", "None"}) {
    for (const auto* order : {"Auto", "ActivationFirst", "WeightFirst"}) {
      for (const auto* side : {"Pre", "Post"}) {
        visit_adapter<double, AllInflations, AllOrders>(
            {.inflation = inflation, .order = order, .side = side}, [&](auto type) {
              using A = typename decltype(type)::type;
              static_assert(std::is_same_v<typename A::Scalar, double>);
              CHECK(A::Inflation::name == inflation);
              CHECK(A::Order::name == order);
              CHECK(A::Side::name == side);
              seen.insert(std::string(inflation) + order + side);
              ++calls;
              CHECK(A(4, 2, 2.0).parameters() == 16);
            });
      }
    }
  }
  CHECK(calls == 18);
  CHECK(seen.size() == 18);
}

TEST_CASE("unknown names are answered with the known ones") {
  const auto never = [](auto) { FAIL("called for a name that no list has"); };
  CHECK_THROWS_WITH_AS(
      visit_adapter<float>({.inflation = "identity"}, never),
      "lorma::visit_adapter: expected inflation to be one of Identity, CyclicPermutation, None, "
      "got \"identity\"",
      Error);
  CHECK_THROWS_WITH_AS(visit_adapter<float>({.side = "Left"}, never),
                       doctest::Contains("Pre, Post, got \"Left\""), Error);
  CHECK_THROWS_WITH_AS(visit_adapter<float>({.order = "WeightFirst"}, never),
                       doctest::Contains("expected order to be one of Auto, got"), Error);
}
