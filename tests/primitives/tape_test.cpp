// SPDX-License-Identifier: Apache-2.0
// What a tape remembers, and whom it answers.

#include <doctest/doctest.h>

#include <lorma/adapter/composition.hpp>
#include <vector>

#include "../support/random_matrices.hpp"

using namespace lorma;
using namespace lorma_tests;

namespace {

template <typename A>
A random_adapter(Index n, Index r, unsigned seed = 1) {
  A adapter(n, r, typename A::Scalar(2));
  adapter.A() = random_matrix<typename A::Scalar>(r, n, seed);
  adapter.B() = random_matrix<typename A::Scalar>(n, r, seed + 1);
  return adapter;
}

/// Every order that the inflation permits.
template <typename I, typename Side, typename F>
void for_orders(F&& f) {
  const auto call = [&]<typename... Order>(std::type_identity<Order>...) {
    (f(random_adapter<Adapter<double, I, Order, Side>>(6, 2)), ...);
  };
  if constexpr (AddsIdentity<I>) {
    call(std::type_identity<ActivationFirst<Factored>>{},
         std::type_identity<WeightFirst<Factored>>{}, std::type_identity<ActivationFirst<Dense>>{},
         std::type_identity<WeightFirst<Dense>>{});
  } else {
    call(std::type_identity<ActivationFirst<Spectral>>{},
         std::type_identity<WeightFirst<Spectral>>{}, std::type_identity<ActivationFirst<Dense>>{},
         std::type_identity<WeightFirst<Dense>>{});
  }
}
template <typename F>
void for_adapters(F&& f) {
  for_orders<Identity, Pre>(f);
  for_orders<None, Pre>(f);
  for_orders<CyclicPermutation, Pre>(f);
  for_orders<Identity, Post>(f);
  for_orders<CyclicPermutation, Post>(f);
}

}  // namespace

TEST_CASE("a tape answers its own order, inflation and side, and refuses every other") {
  const Matrix<double> W = random_matrix<double>(6, 6, 3);
  const Matrix<double> X = random_matrix<double>(6, 5, 4);
  const Matrix<double> G = random_matrix<double>(6, 5, 5);
  for_adapters([&](const auto& recorder) {
    using Recorder = std::remove_cvref_t<decltype(recorder)>;
    Tape<double> tape;
    recorder.forward(W, X, tape);
    for_adapters([&](const auto& other) {
      using Other = std::remove_cvref_t<decltype(other)>;
      if constexpr (std::is_same_v<Recorder, Other>) {
        CHECK_NOTHROW(other.backward(W, G, tape));
      } else {
        CHECK_THROWS_AS(other.backward(W, G, tape), ShapeError);
      }
    });
    // Auto permits the route, whichever it is.
    const auto automatic = random_adapter<
        Adapter<double, typename Recorder::Inflation, Auto, typename Recorder::Side>>(6, 2);
    CHECK(distance(automatic.backward(W, G, tape).dA, recorder.backward(W, G, tape).dA) == 0.0);
  });
}

TEST_CASE("the message says who recorded the tape") {
  const auto dense =
      random_adapter<Adapter<double, CyclicPermutation, ActivationFirst<Dense>>>(6, 2);
  const auto weight = random_adapter<Adapter<double, CyclicPermutation, WeightFirst<Dense>>>(6, 2);
  const Matrix<double> W = random_matrix<double>(6, 4, 3);
  Tape<double> tape;
  dense.forward(W, random_matrix<double>(4, 5, 4), tape);
  CHECK_THROWS_WITH_AS(
      weight.backward(W, random_matrix<double>(6, 5, 5), tape),
      doctest::Contains("got one of CyclicPermutation, Pre, ActivationFirst<Dense>, rank 2, W0 6 x "
                        "4, b = 5"),
      ShapeError);
}

TEST_CASE("a composition's tape knows the ranks, and how many adapters there are") {
  using A = Adapter<float, Identity>;
  const Matrix<float> W = random_matrix<float>(12, 9, 1);
  const Matrix<float> X = random_matrix<float>(9, 5, 2);
  const Matrix<float> G = random_matrix<float>(12, 5, 3);
  const A small = random_adapter<A>(12, 2);
  const A large = random_adapter<A>(12, 9);
  const auto turn = random_adapter<Adapter<float, CyclicPermutation>>(12, 2);
  const Composition one(small, small);
  const Composition other(large, large);
  const Composition half(small, large);
  const Composition mixed(small, turn);
  const Composition three(small, small, small);
  Tape<float> tape;
  one.forward(W, X, tape);
  CHECK_NOTHROW(one.backward(W, G, tape));
  CHECK_THROWS_AS(other.backward(W, G, tape), ShapeError);
  CHECK_THROWS_AS(half.backward(W, G, tape), ShapeError);
  CHECK_THROWS_AS(mixed.backward(W, G, tape), ShapeError);
  CHECK_THROWS_AS(three.backward(W, G, tape), ShapeError);
  CHECK_THROWS_AS(small.backward(W, G, tape), ShapeError);
  CHECK_THROWS_AS(one.backward(W, random_matrix<float>(12, 4, 3), tape), ShapeError);
  CHECK_THROWS_AS(one.backward(W.leftCols(8), G, tape), ShapeError);
  small.forward(W, X, tape);
  CHECK_THROWS_AS(one.backward(W, G, tape), ShapeError);
  CHECK_NOTHROW(small.backward(W, G, tape));
}

TEST_CASE("a borrowing tape keeps a copy of what the door had to copy") {
  const auto a = random_adapter<Adapter<float, Identity, Auto, Post>>(8, 2);
  const Matrix<float> W = random_matrix<float>(6, 8, 3);
  const Matrix<float> G = random_matrix<float>(6, 4, 4);
  std::vector<float> x(64);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = float(i % 11) - 5.0F;
  using Any = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
  const Eigen::Map<const Matrix<float>, 0, Any> X(x.data(), 8, 4, Any(16, 2));
  Tape<float> copies;
  Tape<float> borrows(TapeInput::borrow);
  a.forward(W, X, copies);
  a.forward(W, X, borrows);
  const std::vector<float> other(100000, 1e9F);  // over what was freed
  const auto expected = a.backward(W, G, copies);
  const auto got = a.backward(W, G, borrows);
  CHECK(got.dA == expected.dA);
  CHECK(got.dB == expected.dB);
  // An expression.
  a.forward(W, X + X, borrows);
  const std::vector<float> again(100000, 1e9F);
  CHECK(distance(a.backward(W, G, borrows).dB, 2 * expected.dB) <= 1e-4);
}

TEST_CASE("gradients over a borrowed input are refused, over a copied one they are right") {
  const auto a = random_adapter<Adapter<float, Identity, Auto, Post>>(8, 2);
  const Matrix<float> W = random_matrix<float>(6, 8, 3);
  const Matrix<float> G = random_matrix<float>(6, 4, 4);
  const Matrix<float> X = random_matrix<float>(8, 4, 5);
  Tape<float> copies;
  a.forward(W, X, copies);
  const auto expected = a.backward(W, G, copies);
  Matrix<float> buffer = X;
  Matrix<float> dA(2, 8), dB(8, 2);
  Tape<float> borrows(TapeInput::borrow);
  a.forward(W, buffer, borrows);
  CHECK_THROWS_AS(a.backward_into(buffer, dA, dB, W, G, borrows), ShapeError);
  CHECK(buffer == X);
  a.forward(W, buffer, copies);
  a.backward_into(buffer, dA, dB, W, G, copies);
  CHECK(buffer == expected.dX);
  CHECK(dA == expected.dA);
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
