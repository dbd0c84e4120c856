// SPDX-License-Identifier: Apache-2.0
// The battery of laws for every legal order of Identity, both sides, both scalars.

#include "../support/laws.hpp"

using namespace lorma;

#define LORMA_TEST_ORDERS(S, Side)                                                         \
  Adapter<S, Identity, Auto, Side>, Adapter<S, Identity, ActivationFirst<Factored>, Side>, \
      Adapter<S, Identity, ActivationFirst<Dense>, Side>,                                  \
      Adapter<S, Identity, WeightFirst<Factored>, Side>,                                   \
      Adapter<S, Identity, WeightFirst<Dense>, Side>

TEST_CASE_TEMPLATE("Identity obeys the laws in double", A, LORMA_TEST_ORDERS(double, Pre),
                   LORMA_TEST_ORDERS(double, Post)) {
  for (const auto& shape : lorma_tests::edge_shapes) lorma_tests::check_laws<A>(shape);
}

TEST_CASE_TEMPLATE("Identity obeys the laws in float", A, Adapter<float, Identity, Auto, Pre>,
                   Adapter<float, Identity, WeightFirst<>, Post>) {
  for (const auto& shape : lorma_tests::edge_shapes) lorma_tests::check_laws<A>(shape);
}

#undef LORMA_TEST_ORDERS
