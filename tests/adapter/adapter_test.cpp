// SPDX-License-Identifier: Apache-2.0
// What the class promises beside the laws: errors, untouched data, storage types, threads.

#include <lorma/adapter/compiled.hpp>

#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <thread>
#include <vector>

#include "../support/random_matrices.hpp"

using namespace lorma;
using namespace lorma_tests;

namespace {

template <typename A>
A random_adapter(Index n, Index r, unsigned seed = 1) {
  using S = typename A::Scalar;
  A adapter(n, r, S(2));
  adapter.A() = random_matrix<S>(r, n, seed);
  adapter.B() = random_matrix<S>(n, r, seed + 1);
  return adapter;
}

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing thrown";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("construction refuses bad sizes and bad alpha, in words") {
  CHECK_THROWS_AS(Adapter<float>(0, 1, 1.0F), ShapeError);
  CHECK_THROWS_AS(Adapter<float>(4, 0, 1.0F), ShapeError);
  CHECK_THROWS_AS(Adapter<float>(-3, 2, 1.0F), ShapeError);
  CHECK_THROWS_AS(Adapter<float>(4, 2, 0.0F), Error);
  CHECK_THROWS_AS(Adapter<float>(4, 2, std::numeric_limits<float>::quiet_NaN()), Error);
  CHECK(message_of([] { Adapter<float> a(0, 3, 1.0F); }) ==
        "lorma::Adapter: expected n >= 1 and rank >= 1, got n = 0, rank = 3");
  const Adapter<double, CyclicPermutation> a(7, 3, 6.0);
  CHECK(a.dim() == 7);
  CHECK(a.rank() == 3);
  CHECK(a.alpha() == 6.0);
  CHECK(a.scale() == 2.0);
  CHECK(a.A().rows() == 3);
  CHECK(a.A().cols() == 7);
  CHECK(a.B().rows() == 7);
  CHECK(a.B().cols() == 3);
  CHECK(a.A().isZero(0.0));
  CHECK(a.B().isZero(0.0));
}

TEST_CASE("shape errors name the function, what was expected and what came") {
  const auto a = random_adapter<Adapter<double>>(6, 2);
  const Matrix<double> W0 = random_matrix<double>(6, 4, 3);
  const Matrix<double> X = random_matrix<double>(4, 3, 4);
  CHECK(message_of([&] { a.forward(W0.transpose(), X); }) ==
        "lorma::forward: expected W0 with rows n = 6 (Pre), got W0 4 x 6");
  CHECK(message_of([&] { a.forward(W0, X.transpose()); }) ==
        "lorma::forward: expected X (k x b) to be 4 x 4, got 3 x 4");
  CHECK(contains(message_of([&] { a.merge(W0.transpose()); }), "got 4 x 6"));
  Tape<double> tape;
  CHECK(contains(message_of([&] { a.backward(W0, X, tape); }), "an empty tape"));
  a.forward(W0, X, tape);
  CHECK(message_of([&] { a.backward(W0, X, tape); }) ==
        "lorma::backward: expected dH (d x b) to be 6 x 3, got 4 x 3");
  const auto other = random_adapter<Adapter<double, CyclicPermutation>>(6, 2);
  CHECK(contains(message_of([&] { other.backward(W0, W0 * X, tape); }), "one of Identity, Pre"));
  Matrix<double> H = Matrix<double>::Constant(5, 3, 7.0);
  Workspace workspace;
  CHECK_THROWS_AS(a.forward_into(H, W0, X, workspace), ShapeError);
  CHECK((H.array() == 7.0).all());
}

TEST_CASE("a factor of another shape is reported, not used") {
  auto a = random_adapter<Adapter<double>>(6, 2);
  a.A() = Matrix<double>::Zero(3, 6);
  CHECK(message_of([&] { a.inflated(); }) ==
        "lorma::Adapter: expected factor A (r x n) to be 2 x 6, got 3 x 6");
}

TEST_CASE("an output that shares memory with an input is refused, disjoint blocks are not") {
  const auto a = random_adapter<Adapter<double>>(6, 2);
  const Matrix<double> W0 = random_matrix<double>(6, 6, 3);
  Matrix<double> both = random_matrix<double>(12, 3, 4);
  const Matrix<double> X = both.topRows(6);
  Workspace workspace;
  CHECK_THROWS_AS(a.forward_into(both.topRows(6), W0, both.topRows(6), workspace), ShapeError);
  CHECK_THROWS_AS(a.forward_into(both.middleRows(3, 6), W0, both.topRows(6), workspace),
                  ShapeError);
  CHECK(both.topRows(6) == X);
  a.forward_into(both.bottomRows(6), W0, both.topRows(6), workspace);
  CHECK(distance(both.bottomRows(6), a.forward(W0, X)) <= 1e-12);
}

TEST_CASE_TEMPLATE("an empty batch and an empty side are legal", A, Adapter<double>,
                   Adapter<double, CyclicPermutation>,
                   Adapter<double, CyclicPermutation, ActivationFirst<Dense>, Post>,
                   Adapter<double, None, WeightFirst<>, Post>) {
  const auto a = random_adapter<A>(6, 2);
  const Matrix<double> W0 = random_matrix<double>(6, 6, 3);
  Tape<A> tape;
  const auto H = a.forward(W0, Matrix<double>(6, 0), tape);
  CHECK(H.rows() == 6);
  CHECK(H.cols() == 0);
  const auto g = a.backward(W0, Matrix<double>(6, 0), tape);
  CHECK(g.dX.rows() == 6);
  CHECK(g.dX.cols() == 0);
  CHECK(g.dA.isZero(0.0));
  CHECK(g.dB.isZero(0.0));
  constexpr bool pre = std::is_same_v<typename A::Side, Pre>;
  Matrix<double> empty(pre ? 6 : 0, pre ? 0 : 6);
  CHECK(a.merge(empty).size() == 0);
  CHECK_NOTHROW(a.merge_in_place(empty));
}

TEST_CASE("dX may be left out, and dA, dB stay the same") {
  for (const bool pre : {true, false}) {
    const auto run = [](const auto& a) {
      const Matrix<double> W0 = random_matrix<double>(6, 6, 3);
      const Matrix<double> X = random_matrix<double>(6, 4, 4);
      const Matrix<double> G = random_matrix<double>(6, 4, 5);
      Tape<double> tape;
      a.forward(W0, X, tape);
      const auto g = a.backward(W0, G, tape);
      Matrix<double> dA(2, 6), dB(6, 2);
      a.backward_into(nullptr, dA, dB, W0, G, tape);
      CHECK(dA == g.dA);
      CHECK(dB == g.dB);
    };
    if (pre) {
      run(random_adapter<Adapter<double, Identity, Auto, Pre>>(6, 2));
    } else {
      run(random_adapter<Adapter<double, Identity, Auto, Post>>(6, 2));
    }
  }
}

TEST_CASE_TEMPLATE("gradients are added to what is there, or left out", A, Adapter<double>,
                   Adapter<double, Identity, Auto, Post>, Adapter<double, Identity, WeightFirst<>>,
                   Adapter<double, CyclicPermutation, ActivationFirst<Spectral>>,
                   Adapter<double, CyclicPermutation, ActivationFirst<Spectral>, Post>,
                   Adapter<double, CyclicPermutation, WeightFirst<Dense>, Post>) {
  const auto a = random_adapter<A>(6, 2);
  const Matrix<double> W0 = random_matrix<double>(6, 6, 3);
  const Matrix<double> G = random_matrix<double>(6, 4, 5);
  Tape<A> tape;
  a.forward(W0, random_matrix<double>(6, 4, 4), tape);
  const auto g = a.backward(W0, G, tape);
  const Matrix<double> X0 = random_matrix<double>(6, 4, 6);
  const Matrix<double> A0 = random_matrix<double>(2, 6, 7);
  const Matrix<double> B0 = random_matrix<double>(6, 2, 8);
  for (int wanted = 0; wanted < 8; ++wanted) {
    Matrix<double> dX = X0, dA = A0, dB = B0;
    const auto into = [&](bool add) {
      const auto with_dX = [&](auto&& x) {
        const auto with_dA = [&](auto&& y) {
          if ((wanted & 4) != 0) {
            a.backward_into(x, y, dB, W0, G, tape, add);
          } else {
            a.backward_into(x, y, nullptr, W0, G, tape, add);
          }
        };
        (wanted & 2) != 0 ? with_dA(dA) : with_dA(nullptr);
      };
      (wanted & 1) != 0 ? with_dX(dX) : with_dX(nullptr);
    };
    const double unit = 64.0 * eps<double> * (1.0 + norm(g.dX) + norm(g.dA) + norm(g.dB)) *
                        (1.0 + norm(a.A()) * norm(a.B()));
    into(lorma::accumulate);
    CHECK(distance(dX, (wanted & 1) != 0 ? Matrix<double>(X0 + g.dX) : X0) <= unit);
    CHECK(distance(dA, (wanted & 2) != 0 ? Matrix<double>(A0 + g.dA) : A0) <= unit);
    CHECK(distance(dB, (wanted & 4) != 0 ? Matrix<double>(B0 + g.dB) : B0) <= unit);
    into(false);
    CHECK(distance(dX, (wanted & 1) != 0 ? g.dX : X0) <= unit);
    CHECK(distance(dA, (wanted & 2) != 0 ? g.dA : A0) <= unit);
    CHECK(distance(dB, (wanted & 4) != 0 ? g.dB : B0) <= unit);
  }
}

TEST_CASE("outputs that share memory with W0, factors, dH or each other are refused") {
  auto a = random_adapter<Adapter<double>>(6, 2);
  Matrix<double> W0 = random_matrix<double>(6, 6, 3);
  const Matrix<double> X = random_matrix<double>(6, 2, 4);
  Matrix<double> G = random_matrix<double>(6, 6, 5);
  Workspace workspace;
  CHECK_THROWS_AS(a.forward_into(W0.leftCols(2), W0, X, workspace), ShapeError);
  CHECK_THROWS_AS(a.forward_into(a.B(), W0, X, workspace), ShapeError);
  const Matrix<double> before = G;
  Tape<double> tape;
  const Matrix<double> many = random_matrix<double>(6, 6, 6);
  a.forward(W0, many, tape);
  Matrix<double> dA(2, 6), dB(6, 2), dX(6, 6);
  CHECK_THROWS_AS(a.backward_into(G, dA, dB, W0, G, tape), ShapeError);
  CHECK_THROWS_AS(a.backward_into(dX, a.A(), dB, W0, G, tape), ShapeError);
  CHECK_THROWS_AS(a.backward_into(dX, dA, dX.leftCols(2), W0, G, tape), ShapeError);
  CHECK_THROWS_AS(a.backward_into(dX, dX.topRows(2), dB, W0, G, tape), ShapeError);
  CHECK_THROWS_AS(a.backward_into(W0, dA, dB, W0, G, tape), ShapeError);
  CHECK(G == before);
}

TEST_CASE("a tape that borrows its input gives the same gradients") {
  const auto a = random_adapter<Adapter<double, CyclicPermutation, Auto, Post>>(6, 2);
  const Matrix<double> W0 = random_matrix<double>(9, 6, 3);
  const Matrix<double> X = random_matrix<double>(6, 4, 4);
  const Matrix<double> G = random_matrix<double>(9, 4, 5);
  Tape<double> copies;
  Tape<double> borrows(TapeInput::borrow);
  a.forward(W0, X, copies);
  a.forward(W0, X, borrows);
  CHECK(a.backward(W0, G, copies).dA == a.backward(W0, G, borrows).dA);
}

TEST_CASE_TEMPLATE("float follows double to float's rounding", I, Identity, None,
                   CyclicPermutation) {
  const auto a = random_adapter<Adapter<double, I>>(43, 4);
  Adapter<float, I> f(43, 4, 2.0F);
  f.A() = a.A().template cast<float>();
  f.B() = a.B().template cast<float>();
  auto rounded = a;  // double arithmetic on the float factors
  rounded.A() = f.A().template cast<double>();
  rounded.B() = f.B().template cast<double>();
  const Matrix<float> W0 = random_matrix<float>(43, 17, 3);
  const Matrix<float> X = random_matrix<float>(17, 6, 4);
  const Matrix<float> G = random_matrix<float>(43, 6, 5);
  Tape<float> tf;
  Tape<double> td;
  const auto Hf = f.forward(W0, X, tf);
  const auto Hd = rounded.forward(W0.cast<double>(), X.cast<double>(), td);
  const auto gf = f.backward(W0, G, tf);
  const auto gd = rounded.backward(W0.cast<double>(), G.cast<double>(), td);
  const double size = (1.0 + norm(a.A()) * norm(a.B())) * norm(W0);
  const double unit = 4.0 * 43.0 * eps<float>;
  CHECK(distance(Hf, Hd) <= unit * size * norm(X));
  CHECK(distance(gf.dX, gd.dX) <= unit * size * norm(G));
  CHECK(distance(gf.dA, gd.dA) <= unit * size * norm(G) * norm(X));
  CHECK(distance(gf.dB, gd.dB) <= unit * size * norm(G) * norm(X));
}

TEST_CASE_TEMPLATE("half and bfloat16 weights: float arithmetic on the stored numbers", T,
                   Eigen::half, Eigen::bfloat16) {
  using Stored = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const double eps_T = std::is_same_v<T, Eigen::half> ? 0x1p-10 : 0x1p-7;
  const auto run = [&](const auto& a, Index d, Index k) {
    using A = std::remove_cvref_t<decltype(a)>;
    const Stored W0 = random_matrix<float>(d, k, 3).template cast<T>();
    const Matrix<float> wide = W0.template cast<float>();
    const Matrix<float> X = random_matrix<float>(k, 5, 4);
    const Matrix<float> G = random_matrix<float>(d, 5, 5);
    Tape<A> stored_tape;
    Tape<A> wide_tape;
    const double unit = 4.0 * static_cast<double>(std::max(d, k)) * eps<float>;
    const double size = (1.0 + norm(a.A()) * norm(a.B())) * norm(wide);
    CHECK(distance(a.forward(W0, X, stored_tape), a.forward(wide, X, wide_tape)) <=
          unit * size * norm(X));
    const auto g = a.backward(W0, G, stored_tape);
    const auto expected = a.backward(wide, G, wide_tape);
    CHECK(distance(g.dX, expected.dX) <= unit * size * norm(G));
    CHECK(distance(g.dA, expected.dA) <= unit * size * norm(G) * norm(X));
    CHECK(distance(g.dB, expected.dB) <= unit * size * norm(G) * norm(X));

    // merge rounds once: each entry within half an ulp of the float result.
    const Matrix<float> merged = a.merge(wide);
    const Stored rounded = a.merge(W0);
    const double slack = unit * size;
    CHECK(((rounded.template cast<float>() - merged).cwiseAbs().template cast<double>().array() <=
           0.5 * eps_T * merged.cwiseAbs().template cast<double>().array() + slack)
              .all());
    Stored in_place = W0;
    a.merge_in_place(in_place);
    CHECK(std::memcmp(in_place.data(), rounded.data(), sizeof(T) * std::size_t(d * k)) == 0);
  };
  // 300 crosses the width of a panel.
  run(random_adapter<Adapter<float, Identity, Auto, Pre>>(20, 3), 20, 300);
  run(random_adapter<Adapter<float, Identity, WeightFirst<>, Post>>(20, 3), 300, 20);
  run(random_adapter<Adapter<float, CyclicPermutation, WeightFirst<>, Pre>>(20, 3), 20, 300);
  run(random_adapter<Adapter<float, CyclicPermutation, Auto, Post>>(20, 3), 300, 20);
}

TEST_CASE("unmerge in bfloat16 keeps to a rounding error, or refuses by bfloat16's digits") {
  using Stored = Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic>;
  auto a = random_adapter<Adapter<float>>(24, 2);
  a.B() *= 0.05F;
  const Stored W0 = random_matrix<float>(24, 40, 3).cast<Eigen::bfloat16>();
  Stored W = W0;
  a.merge_in_place(W);
  a.unmerge_in_place(W);
  CHECK(distance(W, W0) <= 2.0 * 0x1p-7 * norm(W0));
  a.B() *= 1e4F;
  a.merge_in_place(W);
  const Stored merged = W;
  const std::string message = message_of([&] { a.unmerge_in_place(W); });
  CHECK(contains(message, "condition number"));
  CHECK(contains(message, "unchanged"));
  CHECK(std::memcmp(W.data(), merged.data(), sizeof(Eigen::bfloat16) * 24 * 40) == 0);
}

TEST_CASE("merge refuses non-finite numbers on request and leaves the weight as it was") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {nan, infinity, -infinity}) {
    auto a = random_adapter<Adapter<float, CyclicPermutation>>(9, 2);
    Matrix<float> W = random_matrix<float>(9, 7, 3);
    W(4, 5) = bad;
    const Matrix<float> before = W;
    CHECK_THROWS_AS(a.merge_in_place(W, check_finite), NonFinite);
    CHECK_THROWS_AS(a.unmerge_in_place(W, check_finite), NonFinite);
    CHECK_THROWS_AS(a.merge(W, check_finite), NonFinite);
    CHECK(std::memcmp(W.data(), before.data(), sizeof(float) * 63) == 0);
    CHECK_NOTHROW(a.merge(W));
    W(4, 5) = 0.0F;
    CHECK_NOTHROW(a.merge(W, check_finite));
    a.A()(1, 3) = bad;
    CHECK(contains(message_of([&] { a.merge_in_place(W, check_finite); }), "factor A"));
    const AdapterView<float, CyclicPermutation> scaled(a.B(), a.A(), bad);
    CHECK(contains(message_of([&] { scaled.merge_in_place(W, check_finite); }), "the scale"));
  }
}

TEST_CASE("singular multipliers are refused by unmerge with the weight untouched") {
  // I + s B A with A B = -1/s is a projector: exactly singular.
  Adapter<double> a(5, 1, 1.0);
  a.B()(2, 0) = 1.0;
  a.A()(0, 2) = -1.0;
  Matrix<double> W = random_matrix<double>(5, 4, 1);
  const Matrix<double> before = W;
  CHECK(contains(message_of([&] { a.unmerge_in_place(W); }), "condition number"));
  CHECK(W == before);
  // Rotating a constant row gives the matrix of ones: rank 1.
  Adapter<double, CyclicPermutation> c(5, 1, 1.0);
  c.B().setOnes();
  c.A().setOnes();
  CHECK_THROWS_AS(c.unmerge_in_place(W), RankDeficient);
  CHECK(W == before);
}

TEST_CASE("one const adapter serves several threads") {
  const auto a = random_adapter<Adapter<float, CyclicPermutation>>(96, 4);
  const auto p = random_adapter<Adapter<float>>(96, 4);
  const Matrix<float> W0 = random_matrix<float>(96, 64, 3);
  const Matrix<float> X = random_matrix<float>(64, 33, 4);
  const Matrix<float> expected = a.forward(W0, X);
  const Matrix<float> expected_p = p.forward(W0, X);
  std::vector<int> wrong(4, 0);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Tape<float> tape;
      for (int i = 0; i < 20; ++i) {
        wrong[t] += a.forward(W0, X, tape) != expected && a.forward(W0, X) != expected;
        wrong[t] += p.forward(W0, X) != expected_p;
        a.backward(W0, expected, tape);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4, 0));
}

TEST_CASE_TEMPLATE("vjp is the gradient of <G, P Y>", A, Adapter<double>,
                   Adapter<double, None, ActivationFirst<Dense>>,
                   Adapter<double, CyclicPermutation>,
                   Adapter<double, CyclicPermutation, WeightFirst<>, Post>) {
  // With W0 = I, Y is the input of a Pre layer.
  const auto a = random_adapter<A>(16, 3);
  const AdapterView<double, typename A::Inflation> layer(a.B(), a.A(), a.scale());
  const Matrix<double> Y = random_matrix<double>(16, 5, 3);
  const Matrix<double> G = random_matrix<double>(16, 5, 4);
  const Matrix<double> W0 = Matrix<double>::Identity(16, 16);
  Tape<double> tape;
  layer.forward(W0, Y, tape);
  const auto expected = layer.backward(W0, G, tape);
  const auto g = a.vjp(Y, G);
  const double unit = 1e-12 * norm(G) * (1.0 + norm(Y)) * (1.0 + norm(a.A())) * (1.0 + norm(a.B()));
  CHECK(distance(g.dY, expected.dX) <= unit);
  CHECK(distance(g.dA, expected.dA) <= unit);
  CHECK(distance(g.dB, expected.dB) <= unit);
  Matrix<double> dY = G, dB = g.dB;
  Workspace workspace;
  a.vjp_into(dY, nullptr, dB, Y, Matrix<double>(G), workspace, lorma::accumulate);
  CHECK(distance(dY, G + g.dY) <= unit);
  CHECK(distance(dB, 2 * g.dB) <= unit);
  CHECK_THROWS_AS(a.vjp(Y, G.topRows(3)), ShapeError);
}

TEST_CASE("an AdapterView sees the factors of its owner, and copies what a BLAS cannot read") {
  auto a = random_adapter<Adapter<double, CyclicPermutation>>(6, 2);
  const AdapterView<double, CyclicPermutation> view(a);
  CHECK(view.alpha() == a.alpha());
  CHECK(view.parameters() == a.parameters());
  a.A()(1, 2) += 1.0;
  CHECK(view.inflated() == a.inflated());
  std::vector<double> gaps(static_cast<std::size_t>(4 * 6 * 2));
  using Any = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
  Eigen::Map<Matrix<double>, 0, Any> B(gaps.data(), 6, 2, Any(24, 2));
  B = a.B();
  const AdapterView<double, CyclicPermutation> copied(B, a.A(), a.scale());
  const AdapterView<double, CyclicPermutation> copy_of_it = copied;
  B.setConstant(7.0);
  CHECK(copy_of_it.inflated() == a.inflated());
  const Matrix<float> narrow = a.B().cast<float>();
  const AdapterView<double, CyclicPermutation> widened(narrow, a.A() * 1.0, a.scale());
  CHECK(distance(widened.inflated(), a.inflated()) <= 1e-6 * norm(a.inflated()));
}

TEST_CASE("apply and apply_adjoint are the action of P alone") {
  const auto a = random_adapter<Adapter<double, CyclicPermutation>>(43, 3);
  const Matrix<double> Y = random_matrix<double>(43, 5, 3);
  const Matrix<double> P = a.inflated();
  CHECK(distance(a.apply(Y), P * Y) <= 1e-13 * norm(P) * norm(Y));
  CHECK(distance(a.apply_adjoint(Y), P.transpose() * Y) <= 1e-13 * norm(P) * norm(Y));
  CHECK_THROWS_AS(a.apply(Y.topRows(3)), ShapeError);
  Workspace workspace;
  Matrix<double> in_place = Y;
  a.apply_into(in_place, in_place, workspace);
  CHECK(in_place == a.apply(Y));
  in_place = Y;
  a.apply_adjoint_into(in_place, in_place, workspace);
  CHECK(in_place == a.apply_adjoint(Y));
  Matrix<double> square = random_matrix<double>(43, 43, 4);
  CHECK_THROWS_AS(a.apply_into(square, square.transpose(), workspace), ShapeError);
}

TEST_CASE("explain marks one legal route") {
  const auto routes =
      Adapter<float, CyclicPermutation>::explain({1024, 1024, 256, 8}, Task::Training);
  CHECK(routes.size() == 4);
  int chosen = 0;
  for (const auto& route : routes) chosen += route.chosen ? 1 : 0;
  CHECK(chosen == 1);
}
