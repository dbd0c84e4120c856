// SPDX-License-Identifier: Apache-2.0
// The decompositions against what defines them.

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <lorma/core/decompositions.hpp>

#include "../support/random_matrices.hpp"

using lorma::Index;
using lorma::Matrix;
using lorma::Vector;
using lorma_tests::random_matrix;
namespace detail = lorma::detail;

namespace {

constexpr Index sizes[][2] = {{1, 1}, {1, 5}, {5, 1}, {7, 7}, {13, 4}, {4, 13}};

double rounding(const Matrix<double>& M) {
  return 20.0 * static_cast<double>(M.rows() + M.cols()) * 0x1p-53;
}

}  // namespace

TEST_CASE("a triangle in place has the Gram matrix of what it replaces, and zeros below") {
  for (const auto [m, n] : sizes) {
    const Matrix<double> M = random_matrix<double>(m, n, 1);
    Matrix<double> inside = Matrix<double>::Constant(m + 2, n + 1, 9.0);  // strided
    inside.block(1, 0, m, n) = M;
    detail::triangle_in_place<double>(inside.block(1, 0, m, n));
    const Matrix<double> R = inside.block(1, 0, std::min(m, n), n);
    for (Index j = 0; j < n; ++j) {
      for (Index i = j + 1; i < R.rows(); ++i) CHECK(R(i, j) == 0.0);
    }
    CHECK((R.transpose() * R - M.transpose() * M).norm() <= rounding(M) * M.squaredNorm());
    CHECK(inside.row(0) == Matrix<double>::Constant(1, n + 1, 9.0));
    CHECK(inside.col(n) == Matrix<double>::Constant(m + 2, 1, 9.0));
  }
}

TEST_CASE("rows permuted are a unit lower and an upper triangle, and the determinant theirs") {
  for (const Index n : {1, 2, 7, 40}) {
    CAPTURE(n);
    const Matrix<double> M = random_matrix<double>(n, n, 6);
    const auto found = detail::lu(M);
    const Matrix<double> L = found.factors.triangularView<Eigen::UnitLower>();
    const Matrix<double> U = found.factors.triangularView<Eigen::Upper>();
    CHECK((found.rows * M - L * U).norm() <= rounding(M) * M.norm());
    CHECK(L.cwiseAbs().maxCoeff() == 1.0);  // pivoted
  }
  Matrix<double> turn(3, 3);  // a cycle of three rows, and one sign
  turn << 0.0, 2.0, 0.0, 0.0, 0.0, 3.0, -4.0, 0.0, 0.0;
  CHECK(detail::lu(turn).determinant().sign == -1.0);
  CHECK(detail::lu(turn).determinant().log_abs == doctest::Approx(std::log(24.0)));
  turn.row(1).setZero();
  CHECK(detail::lu(turn).determinant().sign == 0.0);
}

TEST_CASE("a positive definite matrix is L L^T, read from its lower triangle; others are refused") {
  for (const Index n : {1, 2, 7, 40}) {
    CAPTURE(n);
    const Matrix<double> X = random_matrix<double>(n, 2 * n, 7);
    const Matrix<double> M = X * X.transpose();
    Matrix<double> lower = M;
    lower.triangularView<Eigen::StrictlyUpper>().setConstant(99.0);
    const auto found = detail::cholesky(lower, 0.0);
    REQUIRE(found);
    const Matrix<double> L = found->triangularView<Eigen::Lower>();
    CHECK((L * L.transpose() - M).norm() <= rounding(M) * M.norm());
    CHECK_FALSE(detail::cholesky<double>(-M, 0.0));
    CHECK_FALSE(detail::cholesky(M, 1.5));  // no condition is below 1
  }
  CHECK_FALSE(detail::cholesky<double>(Vector<double>::Unit(2, 0).asDiagonal(), 1e-9));
}

TEST_CASE("orthonormal columns span those that they are made of") {
  for (const auto [m, n] : sizes) {
    const Matrix<double> M = random_matrix<double>(m, n, 8);
    const Matrix<double> Q = detail::orthonormal(M);
    const Index p = std::min(m, n);
    REQUIRE(Q.cols() == p);
    CHECK((Q.transpose() * Q - Matrix<double>::Identity(p, p)).norm() <= rounding(M));
    CHECK((M - Q * (Q.transpose() * M)).norm() <= rounding(M) * M.norm());
  }
}

TEST_CASE("thin and small singular value decompositions are their product") {
  for (const auto [m, n] : sizes) {
    const Matrix<double> M = random_matrix<double>(m, n, 9);
    const auto svd = detail::thin_svd(M);
    const Index p = std::min(m, n);
    REQUIRE(svd.U.cols() == p);
    REQUIRE(svd.V.cols() == p);
    CHECK((svd.U * svd.sigma.asDiagonal() * svd.V.transpose() - M).norm() <=
          rounding(M) * M.norm());
    CHECK((svd.U.transpose() * svd.U - Matrix<double>::Identity(p, p)).norm() <= rounding(M));
    CHECK((svd.V.transpose() * svd.V - Matrix<double>::Identity(p, p)).norm() <= rounding(M));
  }
  CHECK(detail::thin_svd(Matrix<double>(0, 3)).V.rows() == 3);
  const Matrix<double> S = random_matrix<double>(7, 7, 10);
  const auto small = detail::small_svd(S);
  CHECK((small.U * small.sigma.asDiagonal() * small.V.transpose() - S).norm() <=
        rounding(S) * S.norm());
}

TEST_CASE("the pseudo-inverse obeys Penrose's four equations, also of a deficient matrix") {
  for (const auto [m, n] : sizes) {
    Matrix<double> M = random_matrix<double>(m, n, 2);
    if (n > 3) M.col(2) = M.col(0);
    const Matrix<double> P = detail::pseudo_inverse(M);
    const double bound = rounding(M) * M.norm() * P.norm();
    CHECK((M * P * M - M).norm() <= bound * M.norm());
    CHECK((P * M * P - P).norm() <= bound * P.norm());
    CHECK((M * P - (M * P).transpose()).norm() <= bound);
    CHECK((P * M - (P * M).transpose()).norm() <= bound);
  }
}

TEST_CASE("eigenvalues of a tridiagonal matrix ascend, and their vectors are orthonormal") {
  for (const Index n : {1, 2, 7, 24}) {
    const Vector<double> diagonal = random_matrix<double>(n, 1, 3);
    const Vector<double> beside = random_matrix<double>(n, 1, 4).topRows(n - 1);
    Matrix<double> T = diagonal.asDiagonal();
    T.diagonal(1) = beside;
    T.diagonal(-1) = beside;
    const auto found = detail::eigen_of_tridiagonal<double>(diagonal, beside);
    const Matrix<double> V = found.vectors;
    CHECK((T * V - V * found.values.asDiagonal()).norm() <= rounding(T) * T.norm());
    CHECK((V.transpose() * V - Matrix<double>::Identity(n, n)).norm() <= rounding(T));
    for (Index i = 1; i < n; ++i) CHECK(found.values(i - 1) <= found.values(i));
  }
  Vector<double> broken = Vector<double>::Ones(3);
  broken(1) = std::numeric_limits<double>::infinity();
  CHECK(detail::eigen_of_tridiagonal<double>(broken, Vector<double>::Ones(2)).values.hasNaN());
}

TEST_CASE("all ways to singular values agree") {
  for (const auto [m, n] : sizes) {
    const Matrix<double> M = random_matrix<double>(m, n, 5);
    const Vector<double> one = detail::singular_values_by_jacobi(M);
    const Vector<double> other = detail::singular_values_by_division(M);
    REQUIRE(one.size() == std::min(m, n));
    CHECK((one - other).norm() <= rounding(M) * M.norm());
    const Vector<double> chosen = detail::singular_values_in_place(Matrix<double>(M));
    CHECK((one - chosen).norm() <= rounding(M) * M.norm());
  }
  CHECK(detail::singular_values_in_place(Matrix<double>(0, 3)).size() == 0);
}
