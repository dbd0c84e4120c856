// SPDX-License-Identifier: Apache-2.0
// merge and unmerge beyond the laws: how much an ill-conditioned multiplier may cost, cycles, and
// weights written to another type.

#include <doctest/doctest.h>

#include <lorma/adapter/adapter.hpp>

#include "../support/random_matrices.hpp"
#include "../support/references.hpp"

using namespace lorma;
using namespace lorma_tests;

namespace {

constexpr Index n = 24, k = 10;

/// B = u, A = t v^T with u^T v = 0 and unit lengths: P = I + t u v^T has condition about t^2.
struct IllConditioned {
  Matrix<double> B = Matrix<double>::Zero(n, 1);
  Matrix<double> A = Matrix<double>::Zero(1, n);
  explicit IllConditioned(double t) {
    B(0, 0) = 1.0;
    A(0, 1) = t;
  }
};

}  // namespace

TEST_CASE("what unmerge loses grows with the condition number and not faster") {
  const Matrix<double> W0 = random_matrix<double>(n, k, 1);
  for (const double t : {1.0, 1e2, 1e4, 1e6}) {
    const IllConditioned f(t);
    Workspace workspace;
    Matrix<double> W = W0;
    const AdapterView<double> a(f.B, f.A, 1.0);
    a.merge_in_place(W, workspace);
    a.unmerge_in_place(W, workspace);
    const double condition = (2.0 + t) * (2.0 + t);
    CHECK(distance(W, W0) <= 8.0 * double(n) * eps<double> * condition * norm(W0));
    const RoundTrip lost = Inverse<Identity, double>(a.factors()).round_trip();
    CHECK(lost.condition <= 1.01 * condition);  // the rounding of the core taken off
    CHECK(distance(W, W0) <= lost.relative_error(eps<double>) * norm(W0));
  }
  const IllConditioned hopeless(1e9);
  Workspace workspace;
  Matrix<double> W = W0;
  const AdapterView<double> a(hopeless.B, hopeless.A, 1.0);
  CHECK_THROWS_AS(a.unmerge_in_place(W, workspace), RankDeficient);
  CHECK(W == W0);
}

TEST_CASE("P of one direction stretched by t and one shrunk is undone to its condition number") {
  constexpr Index d = 100;
  const Matrix<double> Q = lorma_tests::orthonormal_columns(random_matrix<double>(d, 2, 1));
  for (const double t : {30.0, 100.0, 1000.0, 3e4}) {
    CAPTURE(t);
    // P = I + t q1 q1^T - (1 - 1/t) q2 q2^T, from factors whose columns are mixed.
    Matrix<double> mix(2, 2);
    mix << 1.0, -1.0, 1.0, 1.0;
    const Matrix<float> B = (Q * mix).cast<float>();
    const Eigen::Vector2d change(t, 1.0 / t - 1.0);
    const Matrix<float> A =
        (0.5 * mix.transpose() * change.asDiagonal() * Q.transpose()).cast<float>();
    const AdapterView<float> a(B, A, 1.0F);
    const RoundTrip lost = Inverse<Identity, float>(a.factors()).round_trip();
    Matrix<float> W0 = random_matrix<float>(d, k, 2);
    W0.col(0) = Q.col(0).cast<float>();
    W0 *= 0.1F;
    Workspace workspace;
    Matrix<float> W = W0;
    a.merge_in_place(W, workspace);
    if (t < 1e4) {
      a.unmerge_in_place(W, workspace);
      CHECK(distance(W, W0) <= std::min(1.0, lost.relative_error(eps<float>)) * norm(W0));
    } else {
      CHECK_THROWS_AS(a.unmerge_in_place(W, workspace), RankDeficient);
    }
  }
}

TEST_CASE("LoRMA_pi is refused for what would be lost, not for its 1-norm") {
  constexpr Index size = 256;
  Matrix<float> B = random_matrix<float>(size, 4, 2), A = 0.02F * random_matrix<float>(4, size, 3);
  B.col(0).setOnes();
  A(0, 0) += 1.0F;
  const AdapterView<float, CyclicPermutation> a(B, A, 1.0F);
  const RoundTrip lost = Inverse<CyclicPermutation, float>(a.factors()).round_trip();
  CHECK(lost.condition < 20.0);
  const Matrix<Eigen::bfloat16> W0 = random_matrix<float>(size, k, 1).cast<Eigen::bfloat16>();
  Workspace workspace;
  Matrix<Eigen::bfloat16> W = W0;
  a.merge_in_place(W, workspace);
  a.unmerge_in_place(W, workspace);
  CHECK(distance(W, W0) <= lost.relative_error(0x1p-7) * norm(W0));
}

TEST_CASE("factors scaled against each other do not disturb unmerge") {
  const Matrix<double> W0 = random_matrix<double>(n, k, 1);
  Matrix<double> B = random_matrix<double>(n, 2, 2);
  Matrix<double> A = random_matrix<double>(2, n, 3);
  B.col(0) *= 1e12;
  A.row(0) *= 1e-12;
  Workspace workspace;
  Matrix<double> W = W0;
  const AdapterView<double> a(B, A, 0.1);
  a.merge_in_place(W, workspace);
  a.unmerge_in_place(W, workspace);
  CHECK(distance(W, W0) <= 1e-12 * norm(W0));
}

TEST_CASE_TEMPLATE("a hundred merges and unmerges stay within a hundred rounding errors", I,
                   Identity, CyclicPermutation) {
  const Matrix<float> W0 = random_matrix<float>(n, k, 1);
  Matrix<float> B = random_matrix<float>(n, 2, 2);
  Matrix<float> A = random_matrix<float>(2, n, 3);
  B *= 0.05F;
  if constexpr (std::is_same_v<I, CyclicPermutation>) {
    B.col(0).setOnes();  // near the identity start
    A.row(0).setZero();
    A(0, 0) = 1.0F;
  }
  Workspace workspace;
  Matrix<float> W = W0;
  const AdapterView<float, I> a(B, A, 1.0F);
  for (int cycle = 0; cycle < 100; ++cycle) {
    a.merge_in_place(W, workspace);
    a.unmerge_in_place(W, workspace);
  }
  CHECK(distance(W, W0) <= 100.0 * 4.0 * eps<float> * norm(W0) * 4.0);
}

TEST_CASE("merge may write another storage type than it reads, rounding once") {
  const Matrix<float> W0 = random_matrix<float>(n, k, 1);
  const Matrix<float> B = random_matrix<float>(n, 2, 2);
  const Matrix<float> A = random_matrix<float>(2, n, 3);
  Workspace workspace;
  Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic> rounded(n, k);
  const AdapterView<float> a(B, A, 1.0F);
  a.merge_into(rounded, W0, workspace);
  const Matrix<float> merged = a.merge(W0);
  CHECK(distance(rounded, merged) <= 0.5 * 0x1p-7 * norm(merged) * 1.01);
}

TEST_CASE("merge into a block leaves its surroundings") {
  const Matrix<double> W0 = random_matrix<double>(n, k, 1);
  const Matrix<double> B = random_matrix<double>(k, 2, 2);
  const Matrix<double> A = random_matrix<double>(2, k, 3);
  Matrix<double> parent = Matrix<double>::Constant(n + 2, k + 2, 5.0);
  parent.block(1, 1, n, k) = W0;
  Workspace workspace;
  const AdapterView<double, CyclicPermutation, Auto, Post> a(B, A, 1.0);
  a.merge_in_place(parent.block(1, 1, n, k), workspace);
  const AdapterView<double, CyclicPermutation, ActivationFirst<Dense>, Post> dense(B, A, 1.0);
  const Matrix<double> expected = dense.merge(W0);
  CHECK(distance(parent.block(1, 1, n, k), expected) <= 1e-12 * norm(expected));
  parent.block(1, 1, n, k).setConstant(5.0);
  CHECK((parent.array() == 5.0).all());
}

TEST_CASE("wrong shapes are refused and nothing is written") {
  const Matrix<double> B = random_matrix<double>(n, 2, 2);
  const Matrix<double> A = random_matrix<double>(2, n, 3);
  Matrix<double> W = random_matrix<double>(k, n, 1);
  const Matrix<double> before = W;
  Workspace workspace;
  const AdapterView<double> a(B, A, 1.0);
  CHECK_THROWS_AS(a.merge_in_place(W, workspace), ShapeError);
  CHECK_THROWS_AS(a.unmerge_in_place(W, workspace), ShapeError);
  CHECK_THROWS_AS(AdapterView<double>(B, B, 1.0), ShapeError);
  CHECK(W == before);
}

TEST_CASE_TEMPLATE("a merge into memory of W0 that is not W0 itself is refused", A,
                   AdapterView<double>, AdapterView<double, CyclicPermutation>,
                   AdapterView<double, CyclicPermutation, ActivationFirst<Dense>>) {
  const Matrix<double> B = random_matrix<double>(n, 2, 2);
  const Matrix<double> A_ = random_matrix<double>(2, n, 3);
  const A a(B, A_, 1.0);
  Workspace workspace;
  Matrix<double> memory = random_matrix<double>(n, n + 3, 1);
  const Matrix<double> before = memory;
  const auto square = [&](Index j) { return memory.middleCols(j, n); };
  CHECK_THROWS_AS(a.merge_into(square(1), square(0), workspace), ShapeError);
  CHECK_THROWS_AS(a.merge_into(square(0), square(3), workspace), ShapeError);
  CHECK_THROWS_AS(a.merge_into(square(0), square(0).transpose(), workspace), ShapeError);
  CHECK_THROWS_AS(a.merge_into(square(0).transpose(), square(0), workspace), ShapeError);
  const Eigen::Map<const Matrix<double>> shifted(memory.data() + 1, n, n);
  CHECK_THROWS_AS(a.merge_into(square(0), shifted, workspace), ShapeError);
  const Eigen::Map<const Matrix<double>, 0, Eigen::OuterStride<>> wider(
      memory.data(), n, n, Eigen::OuterStride<>(n + 1));
  CHECK_THROWS_AS(a.merge_into(square(0), wider, workspace), ShapeError);
  CHECK(memory == before);
  a.merge_into(square(0), square(0), workspace);  // in place
  CHECK(square(0) == a.merge(Matrix<double>(before.leftCols(n))));
  // A weight that holds one of the factors.
  Matrix<double> own = random_matrix<double>(n, n, 4);
  const A over_itself(own.leftCols(2), A_, 1.0);
  CHECK_THROWS_AS(over_itself.merge_in_place(own), ShapeError);
  CHECK_THROWS_AS(over_itself.unmerge_in_place(own), ShapeError);
}
