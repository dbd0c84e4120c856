// SPDX-License-Identifier: Apache-2.0
// The battery of laws over the backend CuBlas.

#include "../support/laws.hpp"

#include "on_device.hpp"

using namespace lorma;
using lorma_tests::OnDevice;

#define LORMA_TEST_BOTH_SIDES(S, Inflation, Order) \
  OnDevice<Adapter<S, Inflation, Order, Pre>>, OnDevice<Adapter<S, Inflation, Order, Post>>

TEST_CASE_TEMPLATE("CuBlas obeys the laws in double", A,
                   LORMA_TEST_BOTH_SIDES(double, Identity, Auto),
                   LORMA_TEST_BOTH_SIDES(double, Identity, WeightFirst<Factored>),
                   LORMA_TEST_BOTH_SIDES(double, Identity, ActivationFirst<Dense>),
                   LORMA_TEST_BOTH_SIDES(double, Identity, WeightFirst<Dense>),
                   LORMA_TEST_BOTH_SIDES(double, None, ActivationFirst<Factored>),
                   LORMA_TEST_BOTH_SIDES(double, None, ActivationFirst<Dense>),
                   LORMA_TEST_BOTH_SIDES(double, CyclicPermutation, ActivationFirst<Spectral>),
                   LORMA_TEST_BOTH_SIDES(double, CyclicPermutation, WeightFirst<Spectral>),
                   LORMA_TEST_BOTH_SIDES(double, CyclicPermutation, ActivationFirst<Dense>)) {
  for (const auto& shape : lorma_tests::edge_shapes) lorma_tests::check_laws<A>(shape);
}

TEST_CASE_TEMPLATE("CuBlas obeys the laws in float", A,
                   OnDevice<Adapter<float, Identity, Auto, Pre>>,
                   OnDevice<Adapter<float, CyclicPermutation, ActivationFirst<Dense>, Pre>>,
                   OnDevice<Adapter<float, CyclicPermutation, ActivationFirst<Spectral>, Post>>) {
  for (const auto& shape : lorma_tests::edge_shapes) lorma_tests::check_laws<A>(shape);
}
