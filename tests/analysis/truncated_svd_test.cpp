// SPDX-License-Identifier: Apache-2.0
// Truncated decompositions and pseudo-inverses: what defines them, at the edges too.

#include <doctest/doctest.h>

#include <lorma/analysis/extract.hpp>
#include <lorma/analysis/pseudo_inverse.hpp>
#include <lorma/analysis/truncated_svd.hpp>

#include "../support/random_matrices.hpp"
#include "../support/references.hpp"

using namespace lorma;
using namespace lorma::analysis;
using lorma_tests::distance;
using lorma_tests::norm;
using lorma_tests::random_matrix;

namespace {

Matrix<double> product(const TruncatedSvd& svd) {
  return svd.U * svd.sigma.asDiagonal() * svd.V.transpose();
}

/// Singular values 1, q, q^2, ...: what a real change looks like.
Matrix<double> graded(Index m, Index n, double q) {
  const Index p = std::min(m, n);
  const Matrix<double> U = lorma_tests::orthonormal_columns(random_matrix<double>(m, p, 1));
  const Matrix<double> V = lorma_tests::orthonormal_columns(random_matrix<double>(n, p, 2));
  Eigen::VectorXd sigma(p);
  for (Index i = 0; i < p; ++i) sigma(i) = std::pow(q, static_cast<double>(i));
  return U * sigma.asDiagonal() * V.transpose();
}

double tail(double q, Index from, Index p) {
  double sum = 0.0;
  for (Index i = p; i-- > from;) sum += std::pow(q, 2.0 * static_cast<double>(i));
  return std::sqrt(sum);
}

}  // namespace

TEST_CASE("a matrix of low rank is found whole, by products or densely") {
  for (const Index n : {45, 300}) {
    CAPTURE(n);
    const Matrix<double> low = random_matrix<double>(n + 15, 4, 1) * random_matrix<double>(4, n, 2);
    for (const Truncation& wanted :
         {Truncation{.rank = 4}, Truncation{.rank = 9}, Truncation{.rank = 30, .tolerance = 1e-10},
          Truncation{.energy = 1.0 - 1e-12}}) {
      const auto svd = truncated_svd(low, wanted);
      CHECK(svd.sigma.size() == 4);
      CHECK(svd.residual <= 1e-12);
      CHECK(distance(product(svd), low) <= 1e-12 * norm(low));
      const Matrix<double> I = Matrix<double>::Identity(4, 4);
      CHECK(distance(svd.U.transpose() * svd.U, I) <= 1e-12);
      CHECK(distance(svd.V.transpose() * svd.V, I) <= 1e-12);
    }
  }
}

TEST_CASE("a rank, an energy, a tolerance: near the optimum, and the residual is the truth") {
  const Index m = 250, n = 240;
  const double q = 0.8;
  const Matrix<double> M = graded(m, n, q);
  const double size = tail(q, 0, n);
  const auto check = [&](const Truncation& wanted, Index rank) {
    const auto svd = truncated_svd(M, wanted);
    CAPTURE(rank);
    CHECK(svd.sigma.size() == rank);
    const double optimum = tail(q, rank, n) / size;
    CHECK(svd.residual >= optimum * (1.0 - 1e-9));
    CHECK(svd.residual <= 1.001 * optimum + 1e-12);
    CHECK(svd.residual == doctest::Approx(distance(product(svd), M) / norm(M)));
  };
  check({.rank = 1}, 1);
  check({.rank = 16}, 16);
  // The error of rank r is about q^r: 5 % needs 14, 1 % 21; 99 % of the energy is an error of 10 %.
  check({.tolerance = 0.05}, 14);
  check({.tolerance = 0.01}, 21);
  check({.energy = 0.99}, 11);
  check({.rank = 10, .tolerance = 0.01}, 10);
  check({.energy = 0.99, .tolerance = 0.05}, 11);  // either is enough
  check({.tolerance = 1.0}, 0);
  CHECK(truncated_svd(M, {.tolerance = 1e-12}).residual <= 1e-12);
  CHECK(truncated_svd(M, {}).residual <= 1e-12);
}

TEST_CASE("edges of truncated_svd: zero, empty, one element, huge and tiny, wrong arguments") {
  CHECK(truncated_svd(Matrix<double>::Zero(5, 3), {.rank = 2}).sigma.size() == 0);
  CHECK(truncated_svd(Matrix<double>::Zero(5, 3), {.rank = 2}).residual == 0.0);
  const auto none = truncated_svd(Matrix<double>(0, 3), {.rank = 2});
  CHECK(none.V.rows() == 3);
  CHECK(none.sigma.size() == 0);
  CHECK(truncated_svd(Matrix<double>::Constant(1, 1, -2.0), {}).sigma(0) == 2.0);
  for (const double scale : {1e-300, 1e300}) {
    const Matrix<double> M = scale * random_matrix<double>(6, 4, 1);
    CHECK(truncated_svd(M, {.rank = 4}).residual <= 1e-14);
    CHECK(truncated_svd(M, {.rank = 2}).residual ==
          doctest::Approx(truncated_svd(random_matrix<double>(6, 4, 1), {.rank = 2}).residual));
  }
  const Matrix<double> M = random_matrix<double>(4, 4, 1);
  CHECK_THROWS_AS(truncated_svd(M, {.rank = -1}), ShapeError);
  CHECK_THROWS_AS(truncated_svd(M, {.energy = 1.5}), ShapeError);
  CHECK_THROWS_AS(truncated_svd(M, {.tolerance = std::nan("")}), ShapeError);
  CHECK_THROWS_AS(truncated_svd(Matrix<double>::Constant(2, 2, std::nan("")), {}), NonFinite);
}

TEST_CASE_TEMPLATE("a pseudo-inverse is the one of Moore and Penrose", S, float, double) {
  for (const auto& sizes : {std::pair<Index, Index>{9, 5}, {5, 9}, {7, 7}, {1, 4}, {4, 1}}) {
    const Index d = sizes.first, k = sizes.second;
    CAPTURE(d);
    CAPTURE(k);
    for (const bool deficient : {false, true}) {
      Matrix<S> W = random_matrix<S>(d, k, 1);
      if (deficient && k > 2) W.col(1) = W.col(0);
      if (deficient && d > 2) W.row(2).setZero();
      const PseudoInverse<> inverse("test", W);
      const Matrix<double> exact = W.template cast<double>();
      const Matrix<double> pinv = exact.completeOrthogonalDecomposition().pseudoInverse();  // k x d
      const Matrix<double> Y = random_matrix<double>(3, k, 2);
      const double size = norm(Y) * norm(pinv);
      CHECK(distance(inverse.times(Y), Y * pinv) <= 1e-11 * size);
      CHECK(distance(inverse.project(Y), Y * pinv * exact) <= 1e-11 * size * norm(exact));
      CHECK(inverse.rank() == exact.completeOrthogonalDecomposition().rank());
      CHECK(inverse.has_full_column_rank() == (inverse.rank() == k));
    }
  }
}

TEST_CASE("an ill-conditioned weight keeps the digits that double has") {
  const Matrix<double> W = graded(20, 20, 0.5);  // condition 5e5
  const PseudoInverse<> inverse("test", W);
  const Matrix<double> X = random_matrix<double>(4, 20, 3);
  const Matrix<double> Y = X * W;
  CHECK(distance(inverse.times(Y), X) <= 100.0 * 0x1p-52 * 5e5 * norm(X));
}

TEST_CASE("edges of pseudo-inverses: zero, empty, huge and tiny weights") {
  const Matrix<double> Y = Matrix<double>::Ones(2, 3);
  CHECK(PseudoInverse<>("test", Matrix<double>::Zero(4, 3)).times(Y).isZero());
  CHECK(PseudoInverse<>("test", Matrix<double>::Zero(4, 3)).project(Y).isZero());
  CHECK(PseudoInverse<>("test", Matrix<double>(0, 3)).times(Y).cols() == 0);
  const PseudoInverse<> inverse("test", random_matrix<double>(4, 3, 1));
  CHECK(inverse.times(Matrix<double>(0, 3)).cols() == 4);
  CHECK(inverse.project(Matrix<double>(0, 3)).cols() == 3);
  for (const double scale : {1e-200, 1e200}) {
    const Matrix<double> W = scale * Matrix<double>::Identity(3, 3);
    CHECK(distance(PseudoInverse<>("test", W).times(Y), Y / scale) <= 1e-15 * norm(Y) / scale);
  }
  CHECK_THROWS_AS(PseudoInverse<>("test", Matrix<double>::Constant(2, 2, std::nan(""))), NonFinite);
}

TEST_CASE_TEMPLATE("extract to a tolerance takes no rank more than needed", Side, Pre, Post) {
  const Index n = 30;
  const Matrix<double> W0 = random_matrix<double>(n, n, 5);
  const Matrix<double> change = graded(n, n, 0.5);
  const Matrix<double> W = W0 + change;
  for (const double tolerance : {0.3, 0.05, 1e-3}) {
    CAPTURE(tolerance);
    const auto found = extract<Side>(W0, W, {.tolerance = tolerance});
    CHECK(found.residual <= tolerance);
    CHECK(found.reaches_all);
    CHECK(found.base_rank == n);
    const Index rank = found.B.cols();
    CHECK(tail(0.5, rank - 1, n) / tail(0.5, 0, n) > tolerance);
    const Matrix<double> P = Matrix<double>::Identity(n, n) + found.B * found.A;
    const Matrix<double> merged = std::is_same_v<Side, Pre> ? Matrix<double>(P * W0) : W0 * P;
    CHECK(distance(merged, W) / norm(change) == doctest::Approx(found.residual).epsilon(1e-6));
  }
  // The tolerance is of what a multiplier can reach.
  Matrix<double> deficient = W0;
  deficient.row(0) = deficient.row(1);
  deficient.col(0) = deficient.col(1);
  const auto found = extract<Side>(deficient, deficient + change, {.tolerance = 0.1});
  CHECK_FALSE(found.reaches_all);
  CHECK(found.base_rank == n - 1);
  CHECK(found.unreachable > 0.0);
  CHECK(found.residual >= found.unreachable);
  CHECK(found.residual <= std::hypot(found.unreachable, 0.1));
  CHECK(found.B.cols() < 10);
  const Reach same = reach<Side>(deficient, deficient + change);
  CHECK(same.unreachable == doctest::Approx(found.unreachable));
  CHECK(same.base_rank == n - 1);
  // Nothing changed: one rank of zeros, which any format can hold.
  const auto nothing = extract<Side>(W0, W0, {.energy = 0.9});
  CHECK(nothing.residual == 0.0);
  CHECK(nothing.B.cols() == 1);
  CHECK(nothing.B.isZero());
}
