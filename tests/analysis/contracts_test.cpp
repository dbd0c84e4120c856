// SPDX-License-Identifier: Apache-2.0
// What holds for every entry of analysis and convert: numbers that are not, of any size, and
// residuals of what is returned.

#include <doctest/doctest.h>

#include <functional>
#include <lorma/analysis/analysis.hpp>
#include <lorma/convert/lora_exchange.hpp>
#include <lorma/convert/plus_algebra.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "../support/random_matrices.hpp"

using namespace lorma;
using namespace lorma::analysis;
using lorma_tests::distance;
using lorma_tests::norm;
using lorma_tests::random_matrix;

namespace {

template <typename A>
A adapter_of(double size_B, double size_A) {
  A adapter(8, 2, typename A::Scalar(2));
  adapter.B() = (size_B * random_matrix<double>(8, 2, 1)).template cast<typename A::Scalar>();
  adapter.A() = (size_A * random_matrix<double>(2, 8, 2)).template cast<typename A::Scalar>();
  return adapter;
}

}  // namespace

TEST_CASE("what is not a number is NonFinite, in the name of the function that was called") {
  const Matrix<double> good = random_matrix<double>(8, 8, 3);
  const Matrix<float> wide = random_matrix<float>(120, 120, 3);
  for (const double x : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    Matrix<double> bad = good;
    bad(3, 4) = x;
    Matrix<float> bad_wide = wide;
    bad_wide(70, 3) = static_cast<float>(x);
    auto plus = adapter_of<Adapter<float, Identity>>(1, 1);
    auto pi = adapter_of<Adapter<double, CyclicPermutation>>(1, 1);
    plus.A()(1, 1) = static_cast<float>(x);
    pi.B()(1, 1) = x;
    const PlusFactors f{bad.middleCols(3, 2), good.topRows(2)};
    const PlusFactors g{good.leftCols(2), good.topRows(2)};
    const std::pair<const char*, std::function<void()>> calls[] = {
        {"::singular_values:", [&] { singular_values(bad); }},
        {"::numerical_rank:", [&] { numerical_rank(bad); }},
        {"::numerical_rank:", [&] { numerical_rank(bad_wide); }},
        {"::numerical_rank:", [&] { numerical_rank(bad, 0.1); }},
        {"::numerical_rank:", [&] { numerical_rank(bad, RelativeTolerance{0.1}); }},
        {"::certain_rank:", [&] { certain_rank(bad_wide); }},
        {"::nullity:", [&] { nullity(bad); }},
        {"::is_near_full_rank:", [&] { is_near_full_rank(bad_wide); }},
        {"::condition_number:", [&] { condition_number(bad); }},
        {"::stable_rank:", [&] { stable_rank(bad); }},
        {"::effective_rank:", [&] { effective_rank(bad); }},
        {"::rank_report:", [&] { rank_report(bad); }},
        {"::storage_tolerance:", [&] { storage_tolerance(bad); }},
        {"::truncated_svd:", [&] { truncated_svd(bad, {}); }},
        {"::inflated_rank:", [&] { inflated_rank(plus); }},
        {"::inflated_rank:", [&] { inflated_rank(pi); }},
        {"::delta_rank:", [&] { delta_rank(plus, good); }},
        {"::delta_rank:", [&] { delta_rank(pi, good); }},
        {"::delta_rank:", [&] { delta_rank(adapter_of<Adapter<double>>(1, 1), bad); }},
        {"::multiplier_singular_values:", [&] { multiplier_singular_values(plus); }},
        {"::multiplier_singular_values:", [&] { multiplier_singular_values(pi); }},
        {"::multiplier_condition:", [&] { multiplier_condition(plus); }},
        {"::multiplier_determinant:", [&] { multiplier_determinant(plus); }},
        {"::multiplier_determinant:", [&] { multiplier_determinant(pi); }},
        {"::inflation_report:", [&] { inflation_report(plus.factors()); }},
        {"::find_multiplier:", [&] { find_multiplier(bad, good); }},
        {"::find_multiplier:", [&] { find_multiplier<Post>(good, bad); }},
        {"::extract:", [&] { extract(bad, good, 2); }},
        {"::extract:", [&] { extract<Post>(good, bad, {.tolerance = 0.1}); }},
        {"::reach:", [&] { reach(good, bad); }},
        {"::to_additive:", [&] { to_additive(g, bad); }},
        {"::to_additive:", [&] { to_additive(f, good); }},
        {"::to_multiplicative:", [&] { to_multiplicative(f.B, f.A, good); }},
        {"::to_multiplicative:", [&] { to_multiplicative<Post>(g.B, g.A, bad); }},
        {"::compose:", [&] { compose(g, f); }},
        {"::with_rank:", [&] { with_rank(f, 1); }},
    };
    for (const auto& [function, call] : calls) {
      const std::string name = function;  // clang++ 14 captures no structured binding
      CAPTURE(name);
      std::string message;
      try {
        call();
      } catch (const NonFinite& error) {
        message = error.what();
      }
      CHECK_MESSAGE(message.find(name) != std::string::npos, message);
    }
  }
}

TEST_CASE("no size of a matrix changes what does not depend on it") {
  const Matrix<double> M = random_matrix<double>(40, 23, 4) * random_matrix<double>(23, 30, 5);
  const Matrix<double> other = random_matrix<double>(40, 30, 6);
  const Matrix<double> square = random_matrix<double>(8, 8, 7);
  const Multiplier plain = find_multiplier(M, other);
  const ExtractedFactors extracted = extract<Post>(M, (M + other).eval(), 3);
  for (const int e : {-1010, -660, 660, 1010}) {
    CAPTURE(e);
    const double unit = std::ldexp(1.0, e);
    const Matrix<double> S = unit * M;
    const Matrix<double> T = unit * other;
    CHECK(distance(singular_values(S) / unit, singular_values(M)) <= 1e-18);
    CHECK(numerical_rank(S) == 23);
    CHECK(stable_rank(S) == stable_rank(M));
    CHECK(effective_rank(S) == effective_rank(M));
    CHECK(condition_number(S.leftCols(20)) == condition_number(M.leftCols(20)));
    CHECK(rank_report(S).rank == 23);
    CHECK(rank_report(S).stable_rank == rank_report(M).stable_rank);
    CHECK(truncated_svd(S, {.rank = 5}).residual == truncated_svd(M, {.rank = 5}).residual);
    CHECK(truncated_svd(S, {}).sigma.size() == 23);
    const Multiplier scaled = find_multiplier(S, T);
    CHECK(scaled.residual == doctest::Approx(plain.residual));
    CHECK(distance(scaled.P, plain.P) <= 1e-12 * norm(plain.P));
    const ExtractedFactors same = extract<Post>(S, (S + T).eval(), 3);
    CHECK(same.residual == doctest::Approx(extracted.residual));
    CHECK(same.unreachable == doctest::Approx(extracted.unreachable));
    const auto adapter = adapter_of<Adapter<double>>(1.0, 1.0);
    CHECK(delta_rank(adapter, (unit * square).eval()) == 2);
    const auto pi = adapter_of<Adapter<double, CyclicPermutation>>(1.0, 1.0);
    CHECK(delta_rank(pi, (unit * square).eval()) == 8);
  }
}

TEST_CASE("factors far from one size are those of their product") {
  const auto check = [](auto plain, auto far) {
    const Eigen::VectorXd sigma = multiplier_singular_values(plain);
    CHECK(distance(multiplier_singular_values(far), sigma) <= 1e-13 * norm(sigma));
    CHECK(multiplier_determinant(far).log_abs ==
          doctest::Approx(multiplier_determinant(plain).log_abs));
    CHECK(inflated_rank(far) == inflated_rank(plain));
    const Matrix<double> W0 = random_matrix<double>(8, 8, 3);
    CHECK(delta_rank(far, W0) == delta_rank(plain, W0));
    CHECK(inflation_report(far.factors())[0].distance_to_identity ==
          doctest::Approx(inflation_report(plain.factors())[0].distance_to_identity));
  };
  for (const double size : {1e-200, 1e200}) {
    check(adapter_of<Adapter<double>>(1, 1), adapter_of<Adapter<double>>(size, 1 / size));
    check(adapter_of<Adapter<double, CyclicPermutation>>(1, 1),
          adapter_of<Adapter<double, CyclicPermutation>>(size, 1 / size));
  }
  // A product beyond double is no spectrum.
  CHECK_THROWS_AS(multiplier_singular_values(adapter_of<Adapter<double>>(1e200, 1e200)), NonFinite);
}

TEST_CASE("one number of any size beside ordinary ones") {
  for (const Index n : {1, 2, 5, 20, 40}) {
    for (const double x : {1e300, 1e-300, 1e200, 5e-324, 1.7e308, 0.0}) {
      CAPTURE(n);
      CAPTURE(x);
      Matrix<double> M = random_matrix<double>(n, n, 8);
      M(n / 2, n / 3) = x;
      const Eigen::VectorXd sigma = singular_values(M);
      CHECK(sigma(0) >= (1 - 1e-14) * M.cwiseAbs().maxCoeff());
      CHECK(sigma(0) <= 2 * double(n) * M.cwiseAbs().maxCoeff());
      CHECK(rank_report(M).rank == numerical_rank(M));
      CHECK(numerical_rank(M) >= (x == 0.0 ? n - 1 : 1));
      CHECK(truncated_svd(M, {.rank = 2}).residual < 1.0);
      CHECK(find_multiplier(M, M).residual <= 1e-8);
      CHECK(extract(M, M, 1).residual == 0.0);
      const Matrix<double> alone = Matrix<double>::Constant(n, n, x);
      CHECK(numerical_rank(alone) == (x == 0.0 ? 0 : 1));
    }
  }
  Matrix<double> large = random_matrix<double>(130, 130, 8);
  large(3, 4) = 1e300;
  CHECK(singular_values(large)(0) == doctest::Approx(1e300));
}

TEST_CASE("the determinant of M alone") {
  auto none = Adapter<float, None>(40, 3, 3.0F);
  none.A() = random_matrix<float>(3, 40, 1);
  none.B() = random_matrix<float>(40, 3, 2);
  const Determinant d = multiplier_determinant(none);
  CHECK(d.sign == 0.0);
  CHECK(d.log_abs == -std::numeric_limits<double>::infinity());
}

TEST_CASE("a decomposition cuts where the rank is counted") {
  const Matrix<float> M =
      (random_matrix<double>(100, 3, 1) * random_matrix<double>(3, 100, 2)).cast<float>();
  CHECK(numerical_rank(M) == 3);
  CHECK(truncated_svd(M, {}).sigma.size() == 3);
}

TEST_CASE_TEMPLATE("a report says how much of a rank may be the storage", T, Eigen::half,
                   Eigen::bfloat16) {
  const Matrix<T> M =
      (random_matrix<float>(60, 4, 1) * random_matrix<float>(4, 50, 2)).template cast<T>();
  const RankReport report = rank_report(M);
  CHECK(report.rank > 4);
  CHECK(report.rank_beyond_storage == 4);
  CHECK(report.storage_rounding > report.tolerance);
  CHECK(numerical_rank(M, storage_tolerance(M)) == 4);
  CHECK(storage_tolerance(M).value == doctest::Approx(report.storage_rounding));
  std::ostringstream text;
  text << report;
  CHECK(text.str().find("rank 4 beyond the rounding of the storage") != std::string::npos);
  const auto json = nlohmann::json::parse(report.to_json());
  CHECK(json.at("rank_beyond_storage") == 4);
  // What was rounded is not farther than the tolerance says.
  const Matrix<double> exact = (random_matrix<double>(30, 30, 3)).eval();
  CHECK(distance(exact.cast<T>(), exact) <= storage_tolerance(exact.cast<T>().eval()).value);
  std::ostringstream plain;
  plain << rank_report(exact);
  CHECK(plain.str().find("storage") == std::string::npos);
}

TEST_CASE("residuals are those of what is returned") {
  Eigen::VectorXd sigma(12);
  for (Index i = 0; i < 12; ++i) sigma(i) = std::pow(10.0, -double(i));
  const Matrix<double> Q = lorma::detail::orthonormal(random_matrix<double>(12, 12, 1));
  const Matrix<double> R = lorma::detail::orthonormal(random_matrix<double>(12, 12, 2));
  const Matrix<double> W0 = Q * sigma.asDiagonal() * R;  // of condition 1e11
  const Matrix<double> W = W0 + random_matrix<double>(12, 12, 3);
  const Multiplier m = find_multiplier(W0, W);
  CHECK(m.exists);
  const double left = distance(m.P * W0, W) / norm(W);
  CHECK(std::abs(m.residual - left) <= 1e-15 * norm(m.P) * norm(W0) / norm(W));
  const ExtractedFactors f = extract(W0, W, 12);
  const double missed = distance(W0 + f.B * (f.A * W0), W) / norm(W - W0);
  CHECK(std::abs(f.residual - missed) <= 1e-13);
}
