// SPDX-License-Identifier: Apache-2.0
// The battery of laws for every legal order of CyclicPermutation, both sides, both scalars.

#include "../support/laws.hpp"

using namespace lorma;

#define LORMA_TEST_ORDERS(S, Side)                                    \
  Adapter<S, CyclicPermutation, Auto, Side>,                          \
      Adapter<S, CyclicPermutation, ActivationFirst<Spectral>, Side>, \
      Adapter<S, CyclicPermutation, ActivationFirst<Dense>, Side>,    \
      Adapter<S, CyclicPermutation, WeightFirst<Spectral>, Side>,     \
      Adapter<S, CyclicPermutation, WeightFirst<Dense>, Side>

TEST_CASE_TEMPLATE("CyclicPermutation obeys the laws in double", A, LORMA_TEST_ORDERS(double, Pre),
                   LORMA_TEST_ORDERS(double, Post)) {
  for (const auto& shape : lorma_tests::edge_shapes) lorma_tests::check_laws<A>(shape);
}

TEST_CASE_TEMPLATE("CyclicPermutation obeys the laws in float", A,
                   Adapter<float, CyclicPermutation, Auto, Pre>,
                   Adapter<float, CyclicPermutation, WeightFirst<>, Post>) {
  for (const auto& shape : lorma_tests::edge_shapes) lorma_tests::check_laws<A>(shape);
}

#undef LORMA_TEST_ORDERS
