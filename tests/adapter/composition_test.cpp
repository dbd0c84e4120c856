// SPDX-License-Identifier: Apache-2.0
// Several adapters on one weight: forward, backward and merge of the product of their multipliers.

#include <doctest/doctest.h>

#include <lorma/adapter/adapted.hpp>
#include <lorma/adapter/composition.hpp>

#include "../support/random_matrices.hpp"

using namespace lorma;
using namespace lorma_tests;

namespace {

constexpr Index d = 12, k = 8, b = 5;

template <typename A>
A random_adapter(Index n, Index r, unsigned seed) {
  A adapter(n, r, typename A::Scalar(2));
  adapter.A() = random_matrix<typename A::Scalar>(r, n, seed);
  adapter.B() = random_matrix<typename A::Scalar>(n, r, seed + 1);
  return adapter;
}

template <typename S>
struct Example {
  Adapter<S, Identity, Auto, Pre> p1 = random_adapter<Adapter<S, Identity, Auto, Pre>>(d, 3, 10);
  Adapter<S, CyclicPermutation, Auto, Pre> p2 =
      random_adapter<Adapter<S, CyclicPermutation, Auto, Pre>>(d, 2, 20);
  Adapter<S, Identity, Auto, Post> q1 = random_adapter<Adapter<S, Identity, Auto, Post>>(k, 2, 30);
  Adapter<S, CyclicPermutation, Auto, Post> q2 =
      random_adapter<Adapter<S, CyclicPermutation, Auto, Post>>(k, 2, 40);
  Matrix<S> W0 = random_matrix<S>(d, k, 1);
  Matrix<S> X = random_matrix<S>(k, b, 2);
  Matrix<S> G = random_matrix<S>(d, b, 3);
  Matrix<S> W = p2.inflated() * p1.inflated() * W0 * q1.inflated() * q2.inflated();
  double size = norm(p1.inflated()) * norm(p2.inflated()) * norm(W0) * norm(q1.inflated()) *
                norm(q2.inflated());
};

}  // namespace

TEST_CASE_TEMPLATE("a composition is the product P2 P1 W0 Q1 Q2", S, float, double) {
  const Example<S> e;
  const Composition all(e.p1, e.q1, e.p2, e.q2);
  typename decltype(Composition(e.p1, e.q1, e.p2, e.q2))::Tape tape;
  const double unit = 64.0 * eps<S>;
  const Matrix<S> H = all.forward(e.W0, e.X, tape);
  CHECK(distance(H, e.W * e.X) <= unit * e.size * norm(e.X));
  CHECK(distance(all.forward(e.W0, e.X), e.W * e.X) <= unit * e.size * norm(e.X));
  CHECK(distance(all.merge(e.W0), e.W) <= unit * e.size);

  const auto g = all.backward(e.W0, e.G, tape);
  CHECK(distance(g.dX, e.W.transpose() * e.G) <= unit * e.size * norm(e.G));
  CHECK(std::abs(inner(g.dX, e.X) - inner(e.G, H)) <= unit * e.size * norm(e.G) * norm(e.X));
}

TEST_CASE("gradients of every adapter of a composition are central differences") {
  const Example<double> e;
  const Composition all(e.p1, e.q1, e.p2, e.q2);
  decltype(Composition(e.p1, e.q1, e.p2, e.q2))::Tape tape;
  all.forward(e.W0, e.X, tape);
  const auto g = all.backward(e.W0, e.G, tape);
  const auto check = [&]<std::size_t I>() {
    const auto difference = [&](auto&& change) {
      auto plus = all;
      auto minus = all;
      change(plus.template get<I>(), 1.0);
      change(minus.template get<I>(), -1.0);
      return 0.5 * (inner(e.G, plus.forward(e.W0, e.X)) - inner(e.G, minus.forward(e.W0, e.X)));
    };
    const auto& adapter = all.template get<I>();
    const Matrix<double> dir_A = random_matrix<double>(adapter.rank(), adapter.dim(), 50);
    const Matrix<double> dir_B = random_matrix<double>(adapter.dim(), adapter.rank(), 51);
    const double bound = 1e-12 * e.size * norm(e.G) * norm(e.X);
    CHECK(std::abs(difference([&](auto& a, double t) { a.A() += t * dir_A; }) -
                   inner(g.factors[I].dA, dir_A)) <= bound);
    CHECK(std::abs(difference([&](auto& a, double t) { a.B() += t * dir_B; }) -
                   inner(g.factors[I].dB, dir_B)) <= bound);
  };
  check.operator()<0>();
  check.operator()<1>();
  check.operator()<2>();
  check.operator()<3>();
}

TEST_CASE("merging one after the other equals merging the composition; order matters") {
  const Example<double> e;
  Matrix<double> W = e.W0;
  e.p1.merge_in_place(W);
  e.p2.merge_in_place(W);
  CHECK(distance(Composition(e.p1, e.p2).merge(e.W0), W) <= 1e-14 * e.size);
  CHECK(distance(Composition(e.p2, e.p1).merge(e.W0), W) > 1e-3 * norm(W));
}

TEST_CASE("unmerge undoes a composition, and refuses before anything is written") {
  const Example<double> e;
  const Composition all(e.p1, e.q1, e.p2, e.q2);
  Matrix<double> W = all.merge(e.W0);
  all.unmerge_in_place(W);
  CHECK(distance(W, e.W0) <= 1e-9 * norm(e.W0));

  const auto none = random_adapter<Adapter<double, None, Auto, Pre>>(d, 2, 60);
  const Composition singular(e.p1, none, e.p2);
  Matrix<double> merged = singular.merge(e.W0);
  const Matrix<double> before = merged;
  CHECK_THROWS_AS(singular.unmerge_in_place(merged), RankDeficient);
  CHECK(merged == before);
}

TEST_CASE("an adapted weight is a base for another adapter") {
  const Example<double> e;
  const auto base = adapted(e.p1, e.W0);
  Tape<double> tape;
  const Matrix<double> W = e.p2.inflated() * e.p1.inflated() * e.W0;
  CHECK(distance(e.p2.forward(base, e.X, tape), W * e.X) <= 1e-13 * e.size);
  CHECK(distance(e.p2.backward(base, e.G, tape).dX, W.transpose() * e.G) <= 1e-13 * e.size);
  const auto post = adapted(e.q1, e.W0);
  const Matrix<double> V = e.p2.inflated() * e.W0 * e.q1.inflated();
  Tape<double> post_tape;
  CHECK(distance(e.p2.forward(post, e.X, post_tape), V * e.X) <= 1e-13 * e.size);
  CHECK(distance(e.p2.backward(post, e.G, post_tape).dX, V.transpose() * e.G) <= 1e-13 * e.size);
}

TEST_CASE("shapes are checked and an empty batch is legal") {
  const Example<double> e;
  const Composition both(e.p1, e.q1);
  decltype(Composition(e.p1, e.q1))::Tape tape;
  CHECK_THROWS_AS(both.forward(e.W0.transpose(), e.X), ShapeError);
  CHECK_THROWS_AS(both.forward(e.W0, e.G), ShapeError);
  CHECK_THROWS_AS(both.backward(e.W0, e.G, tape), ShapeError);
  CHECK(both.forward(e.W0, Matrix<double>(k, 0), tape).cols() == 0);
  const auto g = both.backward(e.W0, Matrix<double>(d, 0), tape);
  CHECK(g.factors[0].dA.norm() == 0.0);
  CHECK(g.dX.cols() == 0);
}
