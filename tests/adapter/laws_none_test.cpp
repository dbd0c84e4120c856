// SPDX-License-Identifier: Apache-2.0
// The battery of laws for every legal order of None, both sides, both scalars.

#include "../support/laws.hpp"

using namespace lorma;

#define LORMA_TEST_ORDERS(S, Side)                                                 \
  Adapter<S, None, Auto, Side>, Adapter<S, None, ActivationFirst<Factored>, Side>, \
      Adapter<S, None, ActivationFirst<Dense>, Side>,                              \
      Adapter<S, None, WeightFirst<Factored>, Side>, Adapter<S, None, WeightFirst<Dense>, Side>

TEST_CASE_TEMPLATE("None obeys the laws in double", A, LORMA_TEST_ORDERS(double, Pre),
                   LORMA_TEST_ORDERS(double, Post)) {
  for (const auto& shape : lorma_tests::edge_shapes) lorma_tests::check_laws<A>(shape);
}

TEST_CASE_TEMPLATE("None obeys the laws in float", A, Adapter<float, None, Auto, Pre>,
                   Adapter<float, None, WeightFirst<>, Post>) {
  for (const auto& shape : lorma_tests::edge_shapes) lorma_tests::check_laws<A>(shape);
}

#undef LORMA_TEST_ORDERS
