// SPDX-License-Identifier: Apache-2.0
// merge and unmerge beyond the laws: how much an ill-conditioned multiplier may cost, cycles, and
// weights written to another type.

#include <doctest/doctest.h>

#include <lorma/inflation/cyclic_permutation.hpp>
#include <lorma/inflation/none.hpp>
#include <lorma/primitives/forward.hpp>
#include <lorma/primitives/unmerge.hpp>

#include "../support/random_matrices.hpp"

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
    merge_in_place<Identity>(factors(f.B, f.A, 1.0), W, workspace);
    unmerge_in_place<Identity>(factors(f.B, f.A, 1.0), W, workspace);
    const double condition = (2.0 + t) * (2.0 + t);
    CHECK(distance(W, W0) <= 8.0 * double(n) * eps<double> * condition * norm(W0));
  }
  const IllConditioned hopeless(1e9);
  Workspace workspace;
  Matrix<double> W = W0;
  CHECK_THROWS_AS((unmerge_in_place<Identity>(factors(hopeless.B, hopeless.A, 1.0), W, workspace)),
                  RankDeficient);
  CHECK(W == W0);
}

TEST_CASE("factors scaled against each other do not disturb unmerge") {
  const Matrix<double> W0 = random_matrix<double>(n, k, 1);
  Matrix<double> B = random_matrix<double>(n, 2, 2);
  Matrix<double> A = random_matrix<double>(2, n, 3);
  B.col(0) *= 1e12;
  A.row(0) *= 1e-12;
  Workspace workspace;
  Matrix<double> W = W0;
  merge_in_place<Identity>(factors(B, A, 0.1), W, workspace);
  unmerge_in_place<Identity>(factors(B, A, 0.1), W, workspace);
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
  for (int cycle = 0; cycle < 100; ++cycle) {
    merge_in_place<I>(factors(B, A, 1.0F), W, workspace);
    unmerge_in_place<I>(factors(B, A, 1.0F), W, workspace);
  }
  CHECK(distance(W, W0) <= 100.0 * 4.0 * eps<float> * norm(W0) * 4.0);
}

TEST_CASE("merge may write another storage type than it reads, rounding once") {
  const Matrix<float> W0 = random_matrix<float>(n, k, 1);
  const Matrix<float> B = random_matrix<float>(n, 2, 2);
  const Matrix<float> A = random_matrix<float>(2, n, 3);
  Workspace workspace;
  Eigen::Matrix<Eigen::bfloat16, Eigen::Dynamic, Eigen::Dynamic> rounded(n, k);
  merge_into<Identity>(rounded, factors(B, A, 1.0F), W0, workspace);
  const Matrix<float> merged = merge<Identity>(factors(B, A, 1.0F), W0);
  CHECK(distance(rounded, merged) <= 0.5 * 0x1p-7 * norm(merged) * 1.01);
}

TEST_CASE("merge into a block leaves its surroundings") {
  const Matrix<double> W0 = random_matrix<double>(n, k, 1);
  const Matrix<double> B = random_matrix<double>(k, 2, 2);
  const Matrix<double> A = random_matrix<double>(2, k, 3);
  Matrix<double> parent = Matrix<double>::Constant(n + 2, k + 2, 5.0);
  parent.block(1, 1, n, k) = W0;
  Workspace workspace;
  merge_in_place<CyclicPermutation, Auto, Post>(factors(B, A, 1.0), parent.block(1, 1, n, k),
                                                workspace);
  const Matrix<double> expected =
      merge<CyclicPermutation, ActivationFirst<Dense>, Post>(factors(B, A, 1.0), W0);
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
  CHECK_THROWS_AS((merge_in_place<Identity>(factors(B, A, 1.0), W, workspace)), ShapeError);
  CHECK_THROWS_AS((unmerge_in_place<Identity>(factors(B, A, 1.0), W, workspace)), ShapeError);
  CHECK_THROWS_AS((merge_in_place<Identity>(factors(B, B, 1.0), W, workspace)), ShapeError);
  CHECK(W == before);
}
