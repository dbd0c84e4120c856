// SPDX-License-Identifier: Apache-2.0
// An inflation of a user, one file, gets everything: forward, backward, merge, unmerge, the start,
// and the whole battery of laws.

#include "../../examples/block_turn.hpp"
#include "../support/laws.hpp"

using namespace lorma;
using lorma_examples::BlockTurn;

static_assert(InflationPolicy<BlockTurn<4>>);

TEST_CASE_TEMPLATE("an inflation of one's own obeys the laws", A, Adapter<double, BlockTurn<4>>,
                   Adapter<double, BlockTurn<4>, WeightFirst<Dense>, Post>,
                   Adapter<float, BlockTurn<5>, ActivationFirst<>>) {
  for (const auto& shape : lorma_tests::edge_shapes) lorma_tests::check_laws<A>(shape);
}

TEST_CASE("one block of size n is CyclicPermutation") {
  Adapter<double, BlockTurn<7>> turn(7, 2, 2.0);
  Adapter<double, CyclicPermutation> pi(7, 2, 2.0);
  turn.A() = pi.A() = lorma_tests::random_matrix<double>(2, 7, 1);
  turn.B() = pi.B() = lorma_tests::random_matrix<double>(7, 2, 2);
  CHECK(turn.inflated() == pi.inflated());
}
