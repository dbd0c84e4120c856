// SPDX-License-Identifier: Apache-2.0
// Rank by inertia against rank by singular values, on easy and on adversarial matrices.

#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <lorma/analysis/certain_rank.hpp>

#include "../support/random_matrices.hpp"
#include "../support/references.hpp"

using namespace lorma;
using namespace lorma::analysis;
using namespace lorma_tests;

namespace {

Matrix<double> orthogonal(Index n, unsigned seed) {
  return orthonormal_columns(random_matrix<double>(n, n, seed));
}

/// U diag(sigma) V^T, m x n.
Matrix<double> with_spectrum(Index m, Index n, const Eigen::VectorXd& sigma, unsigned seed = 1) {
  return orthogonal(m, seed).leftCols(sigma.size()) * sigma.asDiagonal() *
         orthogonal(n, seed + 1).leftCols(sigma.size()).transpose();
}

template <typename Derived>
Index rank_by_svd(const Eigen::MatrixBase<Derived>& m, double tolerance) {
  const Eigen::VectorXd sigma = singular_values(m);
  return (sigma.array() > tolerance).count();
}

/// The same rank as by decomposition, whoever answered.
template <typename Derived>
RankAnswer check_rank(const Eigen::MatrixBase<Derived>& m) {
  const RankAnswer answer = certain_rank(m);
  const Eigen::VectorXd sigma = singular_values(m);
  const double tolerance = default_tolerance(m) * sigma(0);
  CHECK(answer.rank == rank_by_svd(m, tolerance));
  CHECK(std::abs(answer.tolerance / tolerance - 1) <= 1e-3);
  // Where inertia answered, sigma_1 is known to within the margin.
  CHECK(std::abs(answer.tolerance / tolerance - 1) <= std::max(answer.margin, 1e-12));
  CHECK((answer.certain || answer.method == RankMethod::svd));
  if (answer.method == RankMethod::inertia) {
    for (const double s : sigma) CHECK(std::abs(s / tolerance - 1) > 0.5 * answer.margin);
  }
  return answer;
}

}  // namespace

TEST_CASE("inertia counts the signs of eigenvalues, at every size of block") {
  for (const Index p : {1, 2, 7, 127, 128, 129, 300}) {
    CAPTURE(p);
    Eigen::VectorXd lambda = Eigen::VectorXd::LinSpaced(p, -1.03, 2.0);
    const Matrix<double> Q = orthogonal(p, 1);
    Matrix<double> H = Q * lambda.asDiagonal() * Q.transpose();
    const Matrix<double> before = H;
    Workspace workspace;
    const Inertia inertia = inertia_in_place(workspace, view_of(H));
    CHECK(inertia.positive == (lambda.array() > 0).count());
    CHECK(inertia.negative == (lambda.array() < 0).count());
    CHECK(inertia.zero == 0);
    // The bound holds for the factors that came out.
    Matrix<double> L = H.triangularView<Eigen::UnitLower>();
    const Matrix<double> back = L * H.diagonal().asDiagonal() * L.transpose();
    CHECK((back - before).norm() <= inertia.error);
  }
}

TEST_CASE("a pivot of zero is reported, not counted") {
  Matrix<double> H(2, 2);
  H << 0.0, 1.0, 1.0, 0.0;
  Workspace workspace;
  CHECK(inertia_in_place(workspace, view_of(H)).zero > 0);
}

TEST_CASE("ordinary matrices are answered by inertia, tall, wide and square") {
  for (const auto& sizes : {std::pair<Index, Index>{120, 120}, {100, 260}, {260, 100}}) {
    const Index m = std::get<0>(sizes);
    const Index n = std::get<1>(sizes);
    const RankAnswer full = check_rank(random_matrix<float>(m, n, 3));
    CHECK(full.rank == 100 + (m == n ? 20 : 0));
    const Matrix<float> thin = random_matrix<float>(m, 17, 4) * random_matrix<float>(17, n, 5);
    const RankAnswer low = check_rank(thin);
    CHECK(low.rank == 17);
    CHECK(low.method == RankMethod::inertia);
    CHECK(low.margin < 0.1);
  }
  CHECK(check_rank(Matrix<float>::Identity(130, 130)).method == RankMethod::inertia);
}

TEST_CASE("graded, clustered and deficient spectra") {
  constexpr Index n = 128;
  for (unsigned seed = 1; seed <= 6; ++seed) {
    Eigen::VectorXd graded(n);
    for (Index i = 0; i < n; ++i) graded(i) = std::pow(10.0, -12.0 * double(i) / double(n));
    check_rank(with_spectrum(n, n, graded, seed).cast<float>());
    Eigen::VectorXd clustered = Eigen::VectorXd::Ones(n);
    clustered.tail(40).setConstant(3e-5);
    check_rank(with_spectrum(n, n, clustered, seed).cast<float>());
    Matrix<float> repeated = random_matrix<float>(n, n, seed);
    repeated.rightCols(30) = repeated.leftCols(30);
    CHECK(check_rank(repeated).rank == n - 30);
    Matrix<float> with_zeros = random_matrix<float>(n, n, seed);
    with_zeros.row(5).setZero();
    with_zeros.col(9).setZero();
    check_rank(with_zeros);
  }
}

TEST_CASE("singular values near the tolerance: certain outside the margin, else decomposed") {
  constexpr Index n = 128;
  for (const double distance : {0.5, 0.1, 0.03, 0.01, 1e-3, 1e-5, 0.0}) {
    for (const double side : {-1.0, 1.0}) {
      Eigen::VectorXd sigma = Eigen::VectorXd::Ones(n);
      const double tolerance = double(n) * 0x1p-23;
      sigma.tail(3).setConstant(tolerance * (1.0 + side * distance));
      // Kept in float its small singular values move; what counts is that both agree.
      const Matrix<float> m = with_spectrum(n, n, sigma).cast<float>();
      check_rank(m);
    }
  }
  // Exact powers of two on the diagonal do not move at all.
  Matrix<float> exact = Matrix<float>::Identity(n, n);
  exact(n - 1, n - 1) = float(n) * 0x1p-23F;  // not above the tolerance: it is the tolerance
  const RankAnswer answer = check_rank(exact);
  CHECK(answer.rank == n - 1);
  CHECK(answer.method == RankMethod::svd);
  exact(n - 1, n - 1) = float(n) * 0x1p-22F;
  CHECK(check_rank(exact).rank == n);
}

TEST_CASE_TEMPLATE("half and bfloat16", T, Eigen::half, Eigen::bfloat16) {
  const Matrix<T> m = random_matrix<float>(110, 140, 7).cast<T>();
  const RankAnswer answer = certain_rank(m);
  CHECK(answer.rank == 110);
  CHECK(answer.method == RankMethod::inertia);
  CHECK(certain_rank(m).rank == certain_rank(m.template cast<float>()).rank);
}

TEST_CASE("edges: small, empty, zero, not finite, tolerances of the caller") {
  CHECK(certain_rank(Matrix<float>(0, 200)).rank == 0);
  CHECK(certain_rank(Matrix<float>::Zero(150, 150)).rank == 0);
  CHECK(certain_rank(Matrix<float>::Ones(3, 3)).method == RankMethod::svd);
  Matrix<float> bad = Matrix<float>::Ones(150, 150);
  bad(149, 0) = std::numeric_limits<float>::infinity();
  CHECK_THROWS_AS(certain_rank(bad), NonFinite);
  const Matrix<float> diagonal =
      Eigen::VectorXf::LinSpaced(120, 1.0F, 120.0F).asDiagonal().toDenseMatrix();
  CHECK(certain_rank(diagonal, AbsoluteTolerance{50.5}).rank == 70);
  CHECK(certain_rank(diagonal, AbsoluteTolerance{50.5}).method == RankMethod::inertia);
  CHECK(certain_rank(diagonal, AbsoluteTolerance{0.0}).rank == 120);
  CHECK_THROWS_AS(certain_rank(diagonal, AbsoluteTolerance{-1.0}), Error);
  const Matrix<double> in_double = random_matrix<double>(120, 120, 1);
  CHECK(certain_rank(in_double).method == RankMethod::svd);
}

TEST_CASE("a few small eigenvalues are found by directions, and none is invented") {
  constexpr Index n = 240;
  Eigen::VectorXd lambda = Eigen::VectorXd::LinSpaced(n, 1.0, 50.0);
  for (const Index few : {1, 3, 10}) {
    lambda.head(few).setLinSpaced(few, 0.0, 0.09);
    const Matrix<double> Q = orthogonal(n, 7);
    const Matrix<double> G = Q * lambda.asDiagonal() * Q.transpose();
    Workspace workspace;
    Matrix<double> factors;
    const auto above = analysis::detail::eigenvalues_above(workspace, G, 0.1, factors);
    REQUIRE(above);
    CHECK(*above == n - few);
    const auto found = [&](Index count, double threshold) {
      return analysis::detail::has_small_eigenvalues(G, factors, count, threshold, 1e-12);
    };
    CHECK(found(few, 0.0905));
    CHECK_FALSE(found(few + 1, 0.9));
    CHECK_FALSE(found(few, few == 1 ? 0.0 : 0.0895));
    lambda.head(few).setOnes();
  }
}

TEST_CASE("a power of two and a transposition change no rank") {
  constexpr Index n = 128;
  Eigen::VectorXd sigma(n);
  for (Index i = 0; i < n; ++i) sigma(i) = std::pow(0.97, double(i));
  sigma.tail(10).setConstant(0.9 * double(n) * 0x1p-23);
  const Matrix<float> M = with_spectrum(n, n, sigma).cast<float>();
  const RankAnswer plain = certain_rank(M);
  CHECK(plain.rank == n - 10);
  CHECK(plain.method == RankMethod::inertia);
  for (const int e : {-90, -60, -50, -41, 40, 100}) {
    CAPTURE(e);
    const RankAnswer scaled = certain_rank(Matrix<float>(M * std::ldexp(1.0F, e)));
    CHECK(scaled.rank == plain.rank);
    CHECK(scaled.certain);
    CHECK(scaled.margin == plain.margin);
    CHECK(scaled.tolerance == std::ldexp(plain.tolerance, e));
  }
  CHECK(certain_rank(M.transpose()).rank == plain.rank);
}

TEST_CASE("the largest eigenvalue is enclosed, clustered or alone") {
  constexpr Index n = 150;
  for (unsigned seed = 1; seed <= 4; ++seed) {
    Eigen::VectorXd lambda = Eigen::VectorXd::LinSpaced(n, 0.0, 1.0) / double(n);
    if (seed == 2) lambda(n - 1) = 0.5;
    if (seed == 3) lambda.tail(40).setConstant(lambda(n - 1));
    if (seed == 4) lambda(n - 1) *= 1.001;
    const Matrix<double> Q = orthogonal(n, seed);
    const Matrix<double> G = Q * lambda.asDiagonal() * Q.transpose();
    Workspace workspace;
    const auto top = analysis::detail::largest_eigenvalue(workspace, G);
    REQUIRE(top);
    CHECK(top->low <= lambda(n - 1));
    CHECK(top->high >= lambda(n - 1));
    CHECK(top->high <= 1.01 * top->low);
  }
  // The first vector of the iteration knows nothing of the largest eigenvalue: no upper end.
  Matrix<double> hidden = 0.01 * Matrix<double>::Identity(n, n);
  Vector<double> start(n);
  for (Index i = 0; i < n; ++i) {
    const double multiple = 0.61803398874989485 * double(i + 1);
    start(i) = multiple - std::floor(multiple) - 0.5;
  }
  Vector<double> across = Vector<double>::Unit(n, 0) - start * (start(0) / start.squaredNorm());
  across.normalize();
  hidden += 0.5 * across * across.transpose();
  Workspace workspace;
  const auto top = analysis::detail::largest_eigenvalue(workspace, hidden);
  if (top) CHECK(top->high >= 0.51);
}

TEST_CASE("a decomposition is certain where its error is less than the distance to the tolerance") {
  CHECK(certain_rank(random_matrix<double>(20, 20, 1)).certain);
  CHECK(certain_rank(Matrix<double>::Zero(20, 20)).certain);
  const Matrix<double> low = random_matrix<double>(20, 3, 1) * random_matrix<double>(3, 20, 2);
  CHECK(certain_rank(low).rank == 3);
  CHECK_FALSE(certain_rank(low).certain);  // in double rounding and tolerance are of one size
  CHECK(certain_rank(Matrix<float>(low.cast<float>())).certain);
  Matrix<float> at = Matrix<float>::Identity(20, 20);
  at(19, 19) = 20.0F * 0x1p-23F;
  CHECK_FALSE(certain_rank(at).certain);
}

TEST_CASE("what a BLAS left in its memory does not reach a rank") {
  // OpenBLAS's product of a symmetric float matrix and a vector, in its kernels for SSE, reads some
  // of it (0.3.21).
  constexpr float nothing = std::numeric_limits<float>::quiet_NaN();
  const float halves[2] = {nothing, 1.0F};
  double number = 0.0;
  std::memcpy(&number, halves, sizeof number);  // finite, but its lower half is no number
  const Matrix<double> left = Matrix<double>::Constant(300, 300, number);
  for (const Index n : {98, 130}) {
    const Matrix<float> M = random_matrix<float>(n, n, 1);
    const RankAnswer answer = certain_rank(M);
    REQUIRE(std::isfinite((left * left)(0, 0)));
    const RankAnswer again = certain_rank(M);
    CHECK(again.method == answer.method);
    CHECK(again.rank == answer.rank);
    CHECK(again.margin == answer.margin);
  }
}

TEST_CASE("a power of two changes nothing but the tolerance, to the bit") {
  const Matrix<float> M =
      with_spectrum(110, 100, Eigen::VectorXd::LinSpaced(100, 1.0, 0.01)).cast<float>();
  const RankAnswer plain = certain_rank(M);
  REQUIRE(plain.method == RankMethod::inertia);
  for (int e = -5; e <= 5; ++e) {
    CAPTURE(e);
    const RankAnswer scaled = certain_rank(Matrix<float>(M * std::ldexp(1.0F, e)));
    CHECK(scaled.method == plain.method);
    CHECK(scaled.rank == plain.rank);
    CHECK(scaled.margin == plain.margin);
    CHECK(scaled.tolerance == std::ldexp(plain.tolerance, e));
  }
}
