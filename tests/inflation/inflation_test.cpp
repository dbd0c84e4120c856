// SPDX-License-Identifier: Apache-2.0
// Each inflation against its definition; deflate against inflate; the starts of training.

#include <doctest/doctest.h>

#include <cmath>
#include <lorma/backend/eigen_cpu.hpp>
#include <lorma/inflation/cyclic_permutation.hpp>
#include <lorma/inflation/identity.hpp>
#include <lorma/inflation/none.hpp>

#include "../support/random_matrices.hpp"

using lorma::CyclicPermutation;
using lorma::EigenCpu;
using lorma::Identity;
using lorma::Index;
using lorma::MatrixView;
using lorma::None;
using lorma::StorageOrder;
using lorma::Workspace;
using namespace lorma_tests;

namespace {

/// I(M) by inflate, or the adjoint of G by deflate.
template <typename Inflation, bool Adjoint>
Matrix<double> through(const Matrix<double>& M) {
  const Index n = M.rows();
  Workspace workspace;
  const auto frame = workspace.frame();
  const auto T = workspace.take<double>(n, Inflation::copies * n, StorageOrder::RowMajor);
  for (Index c = 0; c < Inflation::copies; ++c) {
    EigenCpu::copy(workspace, lorma::view_of(M), T.col_range(c * n, n));
  }
  MatrixView<double> result;
  if constexpr (Adjoint) {
    result = Inflation::template deflate<EigenCpu, double>(workspace, T);
  } else {
    result = Inflation::template inflate<EigenCpu, double>(workspace, T);
  }
  Matrix<double> out(n, n);
  EigenCpu::copy(workspace, as_const(result), lorma::view_of(out));
  return out;
}

Matrix<double> turned(const Matrix<double>& M) {
  const Index n = M.rows();
  Matrix<double> P(n, n);
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < n; ++j) P(i, (j + i) % n) = M(i, j);  // row i, i places to the right
  }
  return P;
}

struct Start {
  Matrix<double> A, B;
};

template <typename Inflation>
Start start(Index n, Index r, double scale, unsigned seed = 1) {
  Start s{Matrix<double>::Zero(r, n), Matrix<double>::Zero(n, r)};
  std::mt19937_64 urbg(seed);
  Inflation::initialize(lorma::view_of(s.B), lorma::view_of(s.A), scale, urbg);
  return s;
}

}  // namespace

TEST_CASE("inflations are their definitions") {
  for (const Index n : {1, 2, 3, 7, 16, 43}) {
    const Matrix<double> M = random_matrix<double>(n, n, 1);
    CHECK(through<None, false>(M) == M);
    CHECK(through<Identity, false>(M) == M + Matrix<double>::Identity(n, n));
    CHECK(through<CyclicPermutation, false>(M) == turned(M));
  }
}

TEST_CASE_TEMPLATE("deflate is the adjoint of inflate's linear part", I, None, Identity,
                   CyclicPermutation) {
  for (const Index n : {1, 2, 5, 12, 43}) {
    const Matrix<double> M = random_matrix<double>(n, n, 2);
    const Matrix<double> G = random_matrix<double>(n, n, 3);
    const Matrix<double> linear =
        through<I, false>(M) - through<I, false>(Matrix<double>::Zero(n, n));
    CHECK(std::abs(inner(G, linear) - inner(through<I, true>(G), M)) <=
          double(n * n) * eps<double> * norm(G) * norm(M));
  }
}

TEST_CASE("CyclicPermutation keeps the entries; turned n times, every row is back") {
  const Index n = 11;
  const Matrix<double> M = random_matrix<double>(n, n, 4);
  CHECK(through<CyclicPermutation, true>(through<CyclicPermutation, false>(M)) == M);
  Matrix<double> P = M;
  for (Index i = 0; i < n; ++i) P = through<CyclicPermutation, false>(P);
  CHECK(P == M);
  // The matrix with 1 in its first column becomes the identity.
  Matrix<double> ones = Matrix<double>::Zero(n, n);
  ones.col(0).setOnes();
  CHECK(through<CyclicPermutation, false>(ones) == Matrix<double>::Identity(n, n));
}

TEST_CASE("starts: distributions, exact identities, the same for the same generator") {
  const Index n = 48;
  const Index r = 4;
  for (const double scale : {1.0, 4.0, 0.25}) {
    const double root = std::sqrt(scale);
    const Start plus = start<Identity>(n, r, scale);
    CHECK(plus.B == Matrix<double>::Zero(n, r));
    CHECK(plus.A.cwiseAbs().maxCoeff() <= 1 / std::sqrt(double(n)));
    CHECK(plus.A.cwiseAbs().maxCoeff() >= 0.9 / std::sqrt(double(n)));

    const Start pi = start<CyclicPermutation>(n, r, scale);
    CHECK(pi.B.col(0) == Eigen::VectorXd::Constant(n, 1 / root));
    const double largest = pi.B.rightCols(r - 1).cwiseAbs().maxCoeff() * root;
    CHECK(largest <= 1 / std::sqrt(double(r)));
    CHECK(largest >= 0.9 / std::sqrt(double(r)));
    CHECK(pi.A(0, 0) == 1 / root);
    CHECK(pi.A.cwiseAbs().sum() == 1 / root);
    CHECK(through<CyclicPermutation, false>(scale * pi.B * pi.A) == Matrix<double>::Identity(n, n));

    // s B A is the orthogonal projector onto the columns of B.
    const Start none = start<None>(n, r, scale);
    const Matrix<double> M = scale * none.B * none.A;
    CHECK(distance(M * M, M) <= 100 * double(n) * eps<double>);
    CHECK(distance(M, M.transpose()) <= 100 * double(n) * eps<double>);
    CHECK(std::abs(M.trace() - double(r)) <= 100 * double(n) * eps<double>);
    CHECK(none.B.cwiseAbs().maxCoeff() * root <= 1 / std::sqrt(double(r)));
  }
  CHECK(start<Identity>(n, r, 1).A == start<Identity>(n, r, 1).A);
  CHECK(start<Identity>(n, r, 1).A != start<Identity>(n, r, 1, 2).A);
}

TEST_CASE("None's start where r >= n is the identity to rounding") {
  const Start none = start<None>(5, 8, 1.0);
  CHECK(distance(none.B * none.A, Matrix<double>::Identity(5, 5)) <= 1e3 * eps<double>);
}
