// SPDX-License-Identifier: Apache-2.0
// Every legal order agrees with the published layer to 1e-12 relative in double.

#include <doctest/doctest.h>

#include <lorma/lorma.hpp>

#include "../support/golden.hpp"
#include "../support/random_matrices.hpp"

using namespace lorma;
using lorma_tests::distance;
using lorma_tests::norm;

namespace {

template <typename Adapter>
void agrees_with(const lorma_tests::Golden& c) {
  CAPTURE(c.file);
  constexpr double relative = 1e-12;
  Adapter adapter(c.B.rows(), c.rank, c.alpha);
  adapter.A() = c.A;
  adapter.B() = c.B;
  Tape<Adapter> tape;
  // The bias is frozen and added after: neither rotated nor scaled.
  const Matrix<double> H = adapter.forward(c.W0, c.x.transpose(), tape).colwise() + c.bias;
  const auto g = adapter.backward(c.W0, c.g.transpose(), tape);
  CHECK(distance(H, c.h.transpose()) <= relative * norm(c.h));
  CHECK(distance(g.dX, c.dx.transpose()) <= relative * norm(c.dx));
  CHECK(distance(g.dA, c.dA) <= relative * norm(c.dA));
  CHECK(distance(g.dB, c.dB) <= relative * norm(c.dB));
  CHECK(distance(adapter.merge(c.W0), c.merged) <= relative * norm(c.merged));
  Matrix<double> W = c.W0;
  adapter.merge_in_place(W);
  CHECK(distance(W, c.merged) <= relative * norm(c.merged));
}

template <typename Inflation, typename Side>
void every_order(const lorma_tests::Golden& c) {
  agrees_with<Adapter<double, Inflation, Auto, Side>>(c);
  agrees_with<Adapter<double, Inflation, ActivationFirst<>, Side>>(c);
  agrees_with<Adapter<double, Inflation, WeightFirst<>, Side>>(c);
  agrees_with<Adapter<double, Inflation, ActivationFirst<Dense>, Side>>(c);
  agrees_with<Adapter<double, Inflation, WeightFirst<Dense>, Side>>(c);
  using Structured =
      std::conditional_t<std::is_same_v<Inflation, CyclicPermutation>, Spectral, Factored>;
  agrees_with<Adapter<double, Inflation, ActivationFirst<Structured>, Side>>(c);
  agrees_with<Adapter<double, Inflation, WeightFirst<Structured>, Side>>(c);
}

template <typename Inflation>
void both_sides(const std::string& name) {
  int seen = 0;
  for (const auto& c : lorma_tests::read_golden(LORMA_TEST_DATA_DIR "/golden")) {
    if (c.inflation != name) continue;
    ++seen;
    if (c.side == "pre") {
      every_order<Inflation, Pre>(c);
    } else {
      every_order<Inflation, Post>(c);
    }
  }
  CHECK(seen == 6);
}

}  // namespace

TEST_CASE("Identity agrees with the published layer") {
  both_sides<Identity>("identity");
}
TEST_CASE("CyclicPermutation agrees with the published layer") {
  both_sides<CyclicPermutation>("cyclic_permutation");
}
TEST_CASE("None agrees with the published layer") {
  both_sides<None>("none");
}
