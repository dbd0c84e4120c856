// SPDX-License-Identifier: Apache-2.0
// Ranks of matrices whose ranks are known.

#include <doctest/doctest.h>

#include <lorma/analysis/analysis.hpp>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "../support/random_matrices.hpp"
#include "../support/references.hpp"

using namespace lorma;
using namespace lorma_tests;
using namespace lorma::analysis;

namespace {

/// U diag(sigma) V^T with orthogonal U (m x m), V (n x n).
Matrix<double> with_singular_values(Index m, Index n, const Eigen::VectorXd& sigma) {
  const auto orthogonal = [](Index size, unsigned seed) -> Matrix<double> {
    return orthonormal_columns(random_matrix<double>(size, size, seed));
  };
  Matrix<double> D = Matrix<double>::Zero(m, n);
  D.diagonal() = sigma;
  return orthogonal(m, 1) * D * orthogonal(n, 2).transpose();
}

}  // namespace

TEST_CASE("singular values and what follows from them") {
  const Eigen::Vector4d sigma(4.0, 2.0, 1.0, 0.5);
  for (const bool wide : {false, true}) {
    const Matrix<double> tall = with_singular_values(9, 4, sigma);
    const Matrix<double> M = wide ? Matrix<double>(tall.transpose()) : tall;
    CHECK(distance(singular_values(M), sigma) <= 1e-14);
    CHECK(condition_number(M) == doctest::Approx(8.0).epsilon(1e-13));
    CHECK(stable_rank(M) == doctest::Approx(21.25 / 16.0).epsilon(1e-13));
    CHECK(numerical_rank(M) == 4);
    CHECK(numerical_rank(M, 0.75) == 3);
    CHECK(numerical_rank(M, AbsoluteTolerance{1.5}) == 2);
    CHECK(numerical_rank(M, RelativeTolerance{0.3}) == 2);
    CHECK(nullity(M) == M.cols() - 4);
  }
  CHECK(effective_rank(Matrix<double>::Identity(7, 7)) == doctest::Approx(7.0));
  CHECK(stable_rank(Matrix<double>::Identity(7, 7)) == doctest::Approx(7.0));
}

TEST_CASE_TEMPLATE("products of thin factors have the rank of the factors", S, float, double) {
  for (const Index r : {1, 3, 8}) {
    const Matrix<S> M = random_matrix<S>(40, r, 3) * random_matrix<S>(r, 60, 4);
    CHECK(numerical_rank(M) == r);
    CHECK(numerical_rank(M.transpose()) == r);
    CHECK(numerical_rank(M.block(1, 2, 30, 20)) == r);
    CHECK_FALSE(is_near_full_rank(M));
    CHECK(is_near_full_rank(M, 0.02));
  }
  CHECK(is_near_full_rank(random_matrix<S>(50, 50, 5)));
}

TEST_CASE("the edges: empty, zero, one row, not finite") {
  const Matrix<double> empty(0, 5);
  CHECK(singular_values(empty).size() == 0);
  CHECK(numerical_rank(empty) == 0);
  CHECK(nullity(empty) == 5);
  CHECK(condition_number(empty) == 1.0);
  CHECK(stable_rank(empty) == 0.0);
  CHECK(effective_rank(empty) == 0.0);
  CHECK(is_near_full_rank(empty));
  const Matrix<double> zero = Matrix<double>::Zero(4, 3);
  CHECK(numerical_rank(zero) == 0);
  CHECK(std::isinf(condition_number(zero)));
  CHECK(stable_rank(zero) == 0.0);
  CHECK(effective_rank(zero) == 0.0);
  CHECK(numerical_rank(Matrix<double>::Ones(1, 9)) == 1);
  Matrix<double> bad = Matrix<double>::Ones(3, 3);
  bad(1, 1) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(numerical_rank(bad), NonFinite);
  CHECK_THROWS_AS(singular_values(bad), NonFinite);
  CHECK_THROWS_AS(condition_number(bad), NonFinite);
  CHECK_THROWS_AS(numerical_rank(zero, -1.0), Error);
}

TEST_CASE("the tolerance follows the storage type") {
  const Eigen::Vector3d sigma(1.0, 1e-4, 1e-9);
  const Matrix<double> M = with_singular_values(3, 3, sigma);
  CHECK(numerical_rank(M) == 3);
  CHECK(numerical_rank(M.cast<float>()) == 2);
  // half and bfloat16 are judged as the float matrices that they stand for.
  const Matrix<Eigen::bfloat16> coarse = M.cast<Eigen::bfloat16>();
  CHECK(numerical_rank(coarse) == numerical_rank(coarse.cast<float>()));
}

TEST_CASE("the report says the same in words and in JSON") {
  const Matrix<double> M = with_singular_values(5, 3, Eigen::Vector3d(3.0, 1.0, 0.0));
  const RankReport report = rank_report(M);
  CHECK(report.rank == 2);
  CHECK_FALSE(report.near_full_rank);
  std::ostringstream text;
  text << report;
  CHECK(text.str().find("rank 2 of 3") != std::string::npos);
  const auto json = nlohmann::json::parse(report.to_json());
  CHECK(json.at("rank") == 2);
  CHECK(json.at("near_full_rank") == false);
  const auto zero = nlohmann::json::parse(rank_report(Matrix<double>::Zero(2, 2)).to_json());
  CHECK(zero.at("condition_number").is_null());
}

TEST_CASE("ranks of the multipliers: None r, LoRMA+ n minus what M cancels, LoRMA_pi full") {
  constexpr Index n = 24, r = 3;
  const auto fill = [](auto adapter) {
    adapter.A() = random_matrix<double>(r, n, 7);
    adapter.B() = random_matrix<double>(n, r, 8);
    return adapter;
  };
  const auto plus = fill(Adapter<double, Identity>(n, r, 3.0));
  CHECK(inflated_rank(plus) == n);
  CHECK(inflated_rank(fill(Adapter<double, None>(n, r, 3.0))) == r);
  CHECK(inflated_rank(fill(Adapter<double, CyclicPermutation>(n, r, 3.0))) == n);
  Adapter<double, Identity> projector(n, 2, 2.0);  // P = I - e1 e1^T - e2 e2^T
  projector.B()(0, 0) = projector.B()(1, 1) = 1.0;
  projector.A()(0, 0) = projector.A()(1, 1) = -1.0;
  CHECK(inflated_rank(projector) == n - 2);
  CHECK(numerical_rank(projector.inflated()) == n - 2);
  Adapter<double, Identity> fresh(n, r, 3.0);
  CHECK(inflated_rank(fresh) == n);
}

TEST_CASE_TEMPLATE("rank of the change: r for LoRMA+, high for LoRMA_pi, 0 at the start", S, float,
                   double) {
  constexpr Index d = 24, k = 20, r = 3;
  const Matrix<S> W0 = random_matrix<S>(d, k, 9);
  std::mt19937_64 urbg(1);
  const auto run = [&]<typename Side>(std::type_identity<Side>) {
    const Index n = Side::dim(d, k);
    Adapter<S, Identity, Auto, Side> plus(n, r, S(3));
    Adapter<S, CyclicPermutation, Auto, Side> pi(n, r, S(3));
    plus.initialize(urbg);
    pi.initialize(urbg);
    CHECK(delta_rank(plus, W0) == 0);
    CHECK(delta_rank(pi, W0) == 0);
    plus.B() = random_matrix<S>(n, r, 10);
    pi.A() = random_matrix<S>(r, n, 11);
    CHECK(delta_rank(plus, W0) == r);
    CHECK(numerical_rank(Matrix<S>(plus.merge(W0) - W0)) == r);
    CHECK(delta_rank(pi, W0) == std::min(d, k));
  };
  run(std::type_identity<Pre>{});
  run(std::type_identity<Post>{});
}
