// SPDX-License-Identifier: Apache-2.0
// Layers over storage of the caller, and bases that are only an action.

#include <doctest/doctest.h>

#include <lorma/adapter/adapter.hpp>
#include <vector>

#include "../support/random_matrices.hpp"

using namespace lorma;
using namespace lorma_tests;

namespace {

/// A base without entries: 2 D with D known only to itself.
struct DoubledBase {
  Matrix<double> D;
  Index rows() const { return D.rows(); }
  Index cols() const { return D.cols(); }
  template <typename X>
  Matrix<double> apply(const X& x) const {
    return 2.0 * (D * x);
  }
  Matrix<double> apply_adjoint(const Matrix<double>& g) const { return 2.0 * (D.transpose() * g); }
};

/// Answers with the wrong number of rows.
struct BrokenBase {
  Index rows() const { return 6; }
  Index cols() const { return 4; }
  Matrix<double> apply(const Matrix<double>& x) const { return x; }
  Matrix<double> apply_adjoint(const Matrix<double>& g) const { return g; }
};

}  // namespace

static_assert(LinearOperator<DoubledBase, double>);
static_assert(!LinearOperator<Matrix<double>, double>);

TEST_CASE_TEMPLATE("a base that is only an operator gives what its entries would give", I, Identity,
                   CyclicPermutation) {
  const DoubledBase base{random_matrix<double>(6, 4, 1)};
  const Matrix<double> entries = 2.0 * base.D;
  const auto run = [&]<typename Side>(std::type_identity<Side>) {
    const Index n = Side::dim(6, 4);
    const Matrix<double> B = random_matrix<double>(n, 2, 2);
    const Matrix<double> A = random_matrix<double>(2, n, 3);
    const AdapterView<double, I, Auto, Side> a(B, A, 0.5);
    const AdapterView<double, I, ActivationFirst<Dense>, Side> dense(B, A, 0.5);
    const Matrix<double> X = random_matrix<double>(4, 3, 4);
    const Matrix<double> G = random_matrix<double>(6, 3, 5);
    Tape<double> by_action;
    Tape<double> by_entries;
    const Matrix<double> H = a.forward(base, X, by_action);
    CHECK(distance(H, a.forward(entries, X, by_entries)) <= 1e-13);
    CHECK(distance(H, dense.forward(base, X)) <= 1e-13);
    const auto g = a.backward(base, G, by_action);
    const auto expected = a.backward(entries, G, by_entries);
    CHECK(distance(g.dX, expected.dX) <= 1e-13);
    CHECK(distance(g.dA, expected.dA) <= 1e-13);
    CHECK(distance(g.dB, expected.dB) <= 1e-13);
  };
  run(std::type_identity<Pre>{});
  run(std::type_identity<Post>{});
}

TEST_CASE("a base whose result has another shape is reported") {
  const Matrix<double> B = random_matrix<double>(6, 2, 2);
  const Matrix<double> A = random_matrix<double>(2, 6, 3);
  const Matrix<double> X = random_matrix<double>(4, 3, 4);
  const AdapterView<double> a(B, A, 1.0);
  CHECK_THROWS_AS(a.forward(BrokenBase{}, X), ShapeError);
}

TEST_CASE("row-major tensors of a framework are taken as they lie") {
  // [b, k], [d, k], [n, r], [r, n] row-major, with room between rows.
  constexpr Index d = 6, k = 4, b = 3, r = 2, pad = 2;
  using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  std::vector<float> x((k + pad) * b), w(d * k), fb(d * r), fa(r * d), h((d + pad) * b, -1.0F);
  std::mt19937_64 urbg(7);
  for (auto* buffer : {&x, &w, &fb, &fa}) {
    for (float& value : *buffer) value = float(urbg() >> 40) * 0x1p-24F - 0.5F;
  }
  using Strided = Eigen::Map<RowMajor, 0, Eigen::OuterStride<>>;
  const Strided tokens(x.data(), b, k, Eigen::OuterStride<>(k + pad));
  Strided outputs(h.data(), b, d, Eigen::OuterStride<>(d + pad));
  const Eigen::Map<const RowMajor> W0(w.data(), d, k), B(fb.data(), d, r), A(fa.data(), r, d);
  Workspace workspace;
  auto H = outputs.transpose();
  const AdapterView<float> a(B, A, 2.0F);
  a.forward_into(H, W0, tokens.transpose(), workspace);
  const Matrix<float> P = Matrix<float>::Identity(d, d) + 2.0F * B * A;
  CHECK(distance(outputs, (P * W0 * tokens.transpose()).transpose()) <= 1e-5);
  for (Index i = 0; i < b; ++i) {
    for (Index j = 0; j < pad; ++j) CHECK(h[std::size_t(i * (d + pad) + d + j)] == -1.0F);
  }

  // The same without Eigen: pointers, sizes, leading dimensions.
  std::vector<float> again(h.size(), -1.0F);
  const MatrixView<const float> x_view(x.data(), k, b, k + pad);
  const MatrixView<const float> w_view(w.data(), d, k, k, StorageOrder::RowMajor);
  const MatrixView<float> h_view(again.data(), d, b, d + pad);
  const AdapterView<float> of_views(MatrixView<float>(fb.data(), d, r, r, StorageOrder::RowMajor),
                                    MatrixView<float>(fa.data(), r, d, d, StorageOrder::RowMajor),
                                    2.0F);
  Tape<float> tape;
  of_views.forward_into(h_view, w_view, x_view, tape);
  CHECK(again == h);
  std::vector<float> dx(k * b), db(d * r), da(r * d);
  const MatrixView<float> dx_view(dx.data(), k, b, k);
  const MatrixView<float> db_view(db.data(), d, r, r, StorageOrder::RowMajor);
  const MatrixView<float> da_view(da.data(), r, d, d, StorageOrder::RowMajor);
  of_views.backward_into(dx_view, da_view, db_view, w_view, h_view, tape);
  a.forward_into(H, W0, tokens.transpose(), tape);
  const auto g = a.backward(W0, H, tape);
  CHECK(distance(Eigen::Map<const Matrix<float>>(dx.data(), k, b), g.dX) == 0.0);
  CHECK(distance(Eigen::Map<const RowMajor>(da.data(), r, d), g.dA) <= 1e-5);
  CHECK(distance(Eigen::Map<const RowMajor>(db.data(), d, r), g.dB) <= 1e-5);
  std::vector<float> merged(w.size());
  of_views.merge_into(MatrixView<float>(merged.data(), d, k, k, StorageOrder::RowMajor), w_view,
                      workspace);
  const Matrix<float> W = of_views.merge(w_view);
  CHECK(distance(Eigen::Map<const RowMajor>(merged.data(), d, k), W) <= 1e-6);
  const MatrixView<float> in_place(w.data(), d, k, k, StorageOrder::RowMajor);
  of_views.merge_in_place(in_place);
  CHECK(w == merged);
  of_views.unmerge_in_place(in_place);
  CHECK(distance(of_views.apply(h_view), P * outputs.transpose()) <= 1e-4);
}

TEST_CASE("arguments of functions written for MatrixBase are taken as they are") {
  Adapter<double> adapter(5, 2, 2.0);
  adapter.A() = random_matrix<double>(2, 5, 1);
  adapter.B() = random_matrix<double>(5, 2, 2);
  const Matrix<double> W0 = random_matrix<double>(5, 4, 3);
  const Matrix<double> X = random_matrix<double>(4, 3, 4);
  const auto through_base = [&adapter]<typename D, typename E>(const Eigen::MatrixBase<D>& w,
                                                               const Eigen::MatrixBase<E>& x) {
    Matrix<double> H = adapter.forward(w, x);
    CHECK(distance(H, adapter.merge(w) * x) <= 1e-13 * norm(H));
    return H;
  };
  CHECK(distance(through_base(W0, X), adapter.forward(W0, X)) == 0.0);
}

TEST_CASE("vectors: batch 1 with any stride") {
  const Matrix<double> W0 = random_matrix<double>(6, 4, 1);
  const Matrix<double> B = random_matrix<double>(6, 2, 2);
  const Matrix<double> A = random_matrix<double>(2, 6, 3);
  const AdapterView<double, CyclicPermutation> a(B, A, 1.0);
  const Matrix<double> many = random_matrix<double>(8, 5, 4);
  const Eigen::VectorXd x = many.col(1).head(4);
  const Matrix<double> expected = a.forward(W0, Matrix<double>(x));
  CHECK(distance(a.forward(W0, x), expected) <= 1e-14);
  CHECK(distance(a.forward(W0, many.col(1).head(4)), expected) <= 1e-14);
  const Eigen::RowVectorXd line = x.transpose();
  CHECK(distance(a.forward(W0, line.transpose()), expected) <= 1e-14);
  const Eigen::Map<const Eigen::VectorXd, 0, Eigen::InnerStride<2>> every_second(many.data(), 4);
  CHECK(distance(a.forward(W0, every_second), a.forward(W0, Matrix<double>(every_second))) <=
        1e-14);
}
