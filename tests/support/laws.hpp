// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_SUPPORT_LAWS_HPP
#define LORMA_TESTS_SUPPORT_LAWS_HPP

/// The battery of laws that every adapter obeys, whatever its policies: yours too.
///
///   check_laws<lorma::Adapter<double, MyInflation>>({.d = 12, .k = 8, .r = 3, .b = 5});
///
/// All bounds are c * eps * (length of the sums) * (norms of what is multiplied).

#include <doctest/doctest.h>

#include <algorithm>
#include <lorma/lorma.hpp>
#include <string>

#include "random_matrices.hpp"
#include "references.hpp"

namespace lorma_tests {

struct Shape {
  Index d, k, r, b;
};

/// An adapter with random factors and the matrices of one layer.
template <typename Adapter>
struct Layer {
  using S = typename Adapter::Scalar;
  static constexpr bool pre = std::is_same_v<typename Adapter::Side, lorma::Pre>;

  explicit Layer(const Shape& shape, S alpha = S(2))
      : adapter(pre ? shape.d : shape.k, shape.r, alpha),
        W0(random_matrix<S>(shape.d, shape.k, 1)),
        X(random_matrix<S>(shape.k, shape.b, 2)),
        G(random_matrix<S>(shape.d, shape.b, 3)) {
    adapter.B() = random_matrix<S>(adapter.dim(), shape.r, 4);
    adapter.A() = random_matrix<S>(shape.r, adapter.dim(), 5);
    P = adapter.inflated();
    W = pre ? Matrix<S>(P * W0) : Matrix<S>(W0 * P);
    const auto longest = static_cast<double>(std::max({shape.d, shape.k, shape.r, shape.b}));
    unit = 4.0 * eps<S> * (longest + 4.0);
    size_P = 1.0 + norm(P) +
             static_cast<double>(adapter.scale()) * norm(adapter.A()) * norm(adapter.B());
  }

  Adapter adapter;
  Matrix<S> W0, X, G, P, W;
  double unit;    ///< eps times the length of sums
  double size_P;  ///< bounds P and its factors

  double bound_H() const { return unit * size_P * norm(W0) * norm(X); }
  double bound_W() const { return unit * size_P * norm(W0); }
};

/// forward is W X, with and without a tape, into matrices of both orders, into blocks.
template <typename Adapter>
void law_forward_is_the_merged_layer(const Shape& shape) {
  using S = typename Adapter::Scalar;
  const Layer<Adapter> l(shape);
  const Matrix<S> expected = l.W * l.X;
  CHECK(distance(l.adapter.forward(l.W0, l.X), expected) <= l.bound_H());
  typename Adapter::Tape tape;
  CHECK(distance(l.adapter.forward(l.W0, l.X, tape), expected) <= l.bound_H());
}

/// dX is the adjoint of forward: <G, forward(X)> = <dX, X>.
template <typename Adapter>
void law_backward_is_the_adjoint(const Shape& shape) {
  const Layer<Adapter> l(shape);
  typename Adapter::Tape tape;
  const auto H = l.adapter.forward(l.W0, l.X, tape);
  const auto g = l.adapter.backward(l.W0, l.G, tape);
  CHECK(std::abs(inner(l.G, H) - inner(g.dX, l.X)) <= l.bound_H() * norm(l.G));
  CHECK(distance(g.dX, l.W.transpose() * l.G) <= l.unit * l.size_P * norm(l.W0) * norm(l.G));
}

/// dA and dB are central differences. H is affine in A for fixed B and in B for fixed A, so the
/// difference is exact for any step: a step of 1 loses no digits.
template <typename Adapter>
void law_gradients_are_differences(const Shape& shape) {
  using S = typename Adapter::Scalar;
  const Layer<Adapter> l(shape);
  typename Adapter::Tape tape;
  l.adapter.forward(l.W0, l.X, tape);
  const auto g = l.adapter.backward(l.W0, l.G, tape);
  const double bound = 8.0 * l.bound_H() * norm(l.G) * (1.0 + norm(l.adapter.A()));
  const auto difference = [&](auto&& change) {
    Adapter plus = l.adapter;
    Adapter minus = l.adapter;
    change(plus, S(1));
    change(minus, S(-1));
    return 0.5 * (inner(l.G, plus.forward(l.W0, l.X)) - inner(l.G, minus.forward(l.W0, l.X)));
  };
  const Matrix<S> direction_A = random_matrix<S>(l.adapter.rank(), l.adapter.dim(), 6);
  const Matrix<S> direction_B = random_matrix<S>(l.adapter.dim(), l.adapter.rank(), 7);
  CHECK(std::abs(difference([&](Adapter& a, S t) { a.A() += t * direction_A; }) -
                 inner(g.dA, direction_A)) <= bound);
  CHECK(std::abs(difference([&](Adapter& a, S t) { a.B() += t * direction_B; }) -
                 inner(g.dB, direction_B)) <= bound);
  // Entry by entry at the corners.
  const Index n = l.adapter.dim();
  const Index r = l.adapter.rank();
  for (const auto& [q, i] : {std::pair<Index, Index>{0, 0}, {r - 1, n - 1}, {0, n - 1}}) {
    CHECK(std::abs(difference([&, q = q, i = i](Adapter& a, S t) { a.A()(q, i) += t; }) -
                   static_cast<double>(g.dA(q, i))) <= bound);
    CHECK(std::abs(difference([&, q = q, i = i](Adapter& a, S t) { a.B()(i, q) += t; }) -
                   static_cast<double>(g.dB(i, q))) <= bound);
  }
}

/// P has the structure that the inflation declares, from which inverse, spectrum, ranks, Factored
/// and Spectral follow.
template <typename Adapter>
void law_structure_is_as_declared(const Shape& shape) {
  using S = typename Adapter::Scalar;
  using Inflation = typename Adapter::Inflation;
  const Layer<Adapter> l(shape);
  const Index n = l.adapter.dim();
  const Matrix<S> M = l.adapter.scale() * l.adapter.B() * l.adapter.A();
  if constexpr (lorma::AddsIdentity<Inflation>) {
    const auto c = static_cast<S>(lorma::identity_multiple<Inflation>);
    CHECK(distance(l.P, c * Matrix<S>::Identity(n, n) + M) <= l.unit * l.size_P);
  }
  if constexpr (lorma::TurnsRows<Inflation>) {
    Matrix<S> turned(n, n);
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) turned(i, j) = M(i, (j - i + n) % n);
    }
    CHECK(distance(l.P, turned) <= l.unit * l.size_P);
  }
}

/// merge is P W0 or W0 P, by value and in place, in both storage orders.
template <typename Adapter>
void law_merge_is_the_product(const Shape& shape) {
  using S = typename Adapter::Scalar;
  using RowMajor = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Layer<Adapter> l(shape);
  CHECK(distance(l.adapter.merge(l.W0), l.W) <= l.bound_W());
  Matrix<S> W = l.W0;
  l.adapter.merge_in_place(W);
  CHECK(distance(W, l.W) <= l.bound_W());
  RowMajor row = l.W0;
  CHECK(distance(l.adapter.merge(row), l.W) <= l.bound_W());
  l.adapter.merge_in_place(row);
  CHECK(distance(row, l.W) <= l.bound_W());
}

/// unmerge gives W0 back with a relative error of eps times the condition number of P, or refuses
/// and leaves W as it was.
template <typename Adapter>
void law_unmerge_restores(const Shape& shape) {
  using S = typename Adapter::Scalar;
  const Layer<Adapter> l(shape);
  Matrix<S> W = l.W0;
  l.adapter.merge_in_place(W);
  const Matrix<S> merged = W;
  const Eigen::VectorXd singular_values = reference_singular_values(l.P.template cast<double>());
  const double smallest = singular_values(singular_values.size() - 1);
  const double condition = singular_values(0) / smallest;
  const auto n = static_cast<double>(l.adapter.dim());
  if (condition * n * eps<S> < 0.01) {
    l.adapter.unmerge_in_place(W);
    CHECK(distance(W, l.W0) <=
          l.unit * (norm(merged) / smallest + l.size_P / smallest * norm(l.W0)) * std::sqrt(n));
  } else if (condition > 100.0 * n / eps<S>) {
    CHECK_THROWS_AS(l.adapter.unmerge_in_place(W), lorma::RankDeficient);
    CHECK(W == merged);
  }
}

/// The inflation's start is the identity map exactly where s is a power of 4, to rounding
/// elsewhere.
template <typename Adapter>
void law_starts_as_promised(const Shape& shape) {
  using S = typename Adapter::Scalar;
  if constexpr (Adapter::Inflation::starts_as_identity) {
    for (const double ratio : {1.0, 4.0, 2.0, 1.0 / 3.0}) {
      Layer<Adapter> l(shape);
      const Index n = l.adapter.dim();
      Adapter adapter(n, shape.r, static_cast<S>(ratio * static_cast<double>(shape.r)));
      std::mt19937_64 urbg(42);
      adapter.initialize(urbg);
      const double tolerance = ratio == 1.0 || ratio == 4.0 ? 0.0 : 4.0 * eps<S>;
      const Matrix<S> P = adapter.inflated();
      CHECK((P - Matrix<S>::Identity(n, n)).cwiseAbs().maxCoeff() <= tolerance);
      CHECK(distance(adapter.forward(l.W0, l.X), Matrix<S>(l.W0 * l.X)) <=
            l.unit * norm(l.W0) * norm(l.X));
    }
  }
}

/// The same numbers, whatever the storage of W0, X, H: row-major, block, transpose, Map.
template <typename Adapter>
void law_storage_does_not_matter(const Shape& shape) {
  using S = typename Adapter::Scalar;
  using RowMajor = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Layer<Adapter> l(shape);
  const Matrix<S> expected = l.W * l.X;
  const RowMajor W_row = l.W0;
  const RowMajor X_row = l.X;
  const RowMajor G_row = l.G;
  CHECK(distance(l.adapter.forward(W_row, X_row), expected) <= l.bound_H());

  // Non-contiguous blocks of larger parents, NaN all around.
  const S nan = std::numeric_limits<S>::quiet_NaN();
  Matrix<S> W_parent = Matrix<S>::Constant(shape.d + 3, shape.k + 2, nan);
  RowMajor X_parent = RowMajor::Constant(shape.k + 1, shape.b + 4, nan);
  RowMajor H_parent = RowMajor::Constant(shape.d + 2, shape.b + 5, S(7));
  auto W_block = W_parent.block(2, 1, shape.d, shape.k);
  auto X_block = X_parent.block(1, 3, shape.k, shape.b);
  W_block = l.W0;
  X_block = l.X;
  auto H_block = H_parent.block(1, 2, shape.d, shape.b);
  typename Adapter::Workspace workspace;
  l.adapter.forward_into(H_block, W_block, X_block, workspace);
  CHECK(distance(H_block, expected) <= l.bound_H());
  H_block.setConstant(S(7));
  CHECK((H_parent.array() == S(7)).all());  // nothing was written beside the block

  typename Adapter::Tape tape;
  l.adapter.forward_into(H_block, W_row, X_block, tape);
  CHECK(distance(H_block, expected) <= l.bound_H());
  typename Adapter::Tape plain;
  l.adapter.forward(l.W0, l.X, plain);
  const auto g = l.adapter.backward(l.W0, l.G, plain);
  const auto g_row = l.adapter.backward(W_row, G_row, tape);
  const double scale = l.unit * l.size_P * norm(l.W0) * norm(l.G) * (1.0 + norm(l.X));
  CHECK(distance(g.dX, g_row.dX) <= scale);
  CHECK(distance(g.dA, g_row.dA) <= scale);
  CHECK(distance(g.dB, g_row.dB) <= scale);

  // An expression without elements in memory, and a transposed operand.
  const Matrix<S> X_t = l.X.transpose();
  CHECK(distance(l.adapter.forward(l.W0 * S(1), X_t.transpose()), expected) <= l.bound_H());
}

/// Column j of H and dX follows from column j of X and dH alone, to the bit, and so does what P
/// acts on in a merge (a column of W0 for Pre, a row for Post), whatever stands beside it.
template <typename Adapter>
void law_columns_are_independent(const Shape& shape) {
  using S = typename Adapter::Scalar;
  using Limits = std::numeric_limits<S>;
  const Layer<Adapter> l(shape);
  const auto alone = [](const Matrix<S>& x, Index j) {
    Matrix<S> result(x.rows(), x.cols());
    for (Index i = 0; i < x.cols(); ++i) {
      result.col(i).setConstant(i % 3 == 0   ? Limits::quiet_NaN()
                                : i % 3 == 1 ? Limits::infinity()
                                             : Limits::max());
    }
    result.col(j) = x.col(j);
    return result;
  };
  const auto H = l.adapter.forward(l.W0, l.X);
  typename Adapter::Tape tape;
  l.adapter.forward(l.W0, l.X, tape);
  const auto g = l.adapter.backward(l.W0, l.G, tape);
  for (const Index j : {Index(0), shape.b / 2, shape.b - 1}) {
    CHECK(l.adapter.forward(l.W0, alone(l.X, j)).col(j) == H.col(j));
    CHECK(l.adapter.backward(l.W0, alone(l.G, j), tape).dX.col(j) == g.dX.col(j));
  }
  const Matrix<S> merged = l.adapter.merge(l.W0);
  if constexpr (l.pre) {
    const Index j = shape.k / 2;
    CHECK(l.adapter.merge(alone(l.W0, j)).col(j) == merged.col(j));
  } else {
    const Index i = shape.d / 2;
    const Matrix<S> W = alone(l.W0.transpose(), i).transpose();
    CHECK(l.adapter.merge(W).row(i) == merged.row(i));
  }
}

template <typename Adapter>
void check_laws(const Shape& shape) {
  CAPTURE(std::string(Adapter::Inflation::name));
  CAPTURE(std::string(Adapter::Order::name));
  CAPTURE(std::string(Adapter::Side::name));
  CAPTURE(shape.d);
  CAPTURE(shape.k);
  CAPTURE(shape.r);
  CAPTURE(shape.b);
  law_structure_is_as_declared<Adapter>(shape);
  law_forward_is_the_merged_layer<Adapter>(shape);
  law_backward_is_the_adjoint<Adapter>(shape);
  law_gradients_are_differences<Adapter>(shape);
  law_merge_is_the_product<Adapter>(shape);
  law_unmerge_restores<Adapter>(shape);
  law_starts_as_promised<Adapter>(shape);
  law_storage_does_not_matter<Adapter>(shape);
  law_columns_are_independent<Adapter>(shape);
}

/// Shapes at the edges: n = 1, r = 1, r >= n, b = 1, primes, wide and tall.
inline const Shape edge_shapes[] = {
    {.d = 1, .k = 1, .r = 1, .b = 1},   {.d = 12, .k = 8, .r = 3, .b = 5},
    {.d = 5, .k = 7, .r = 1, .b = 1},   {.d = 4, .k = 6, .r = 9, .b = 3},
    {.d = 43, .k = 17, .r = 4, .b = 6}, {.d = 1, .k = 9, .r = 2, .b = 4},
    {.d = 9, .k = 1, .r = 2, .b = 4},   {.d = 16, .k = 16, .r = 8, .b = 33},
};

}  // namespace lorma_tests

#endif
