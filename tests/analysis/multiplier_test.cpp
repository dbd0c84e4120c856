// SPDX-License-Identifier: Apache-2.0
// Structured spectra against dense ones; Theorem 1; extraction; the recorder.

#include <doctest/doctest.h>

#include <lorma/analysis/extract.hpp>
#include <lorma/analysis/find_multiplier.hpp>
#include <lorma/analysis/inflation_report.hpp>
#include <lorma/analysis/multiplier_spectrum.hpp>
#include <lorma/analysis/training_recorder.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "../support/random_matrices.hpp"
#include "../support/shifted.hpp"

using namespace lorma;
using namespace lorma::analysis;
using namespace lorma_tests;

namespace {

template <typename A>
A random_adapter(Index n, Index r) {
  A adapter(n, r, typename A::Scalar(1));
  adapter.A() = random_matrix<typename A::Scalar>(r, n, 1);
  adapter.B() = random_matrix<typename A::Scalar>(n, r, 2);
  return adapter;
}

}  // namespace

TEST_CASE_TEMPLATE("spectrum, condition and determinant of the multiplier are the dense ones", A,
                   Adapter<double, Identity>, Adapter<double, None>,
                   Adapter<double, CyclicPermutation>, Adapter<double, Shifted<1>>,
                   Adapter<double, Shifted<2>>, Adapter<double, Shifted<-3>>,
                   Adapter<double, Shifted<0>>) {
  for (const auto& sizes : {std::pair<Index, Index>{1, 1}, {7, 2}, {7, 4}, {30, 3}, {6, 9}}) {
    const Index n = std::get<0>(sizes);
    const Index r = std::get<1>(sizes);
    CAPTURE(n);
    CAPTURE(r);
    const A adapter = random_adapter<A>(n, r);
    const Matrix<double> P = adapter.inflated();
    const Eigen::VectorXd dense = singular_values(P);
    const Eigen::VectorXd sigma = multiplier_singular_values(adapter);
    const double bound = 1e2 * double(n) * eps<double> * dense(0);
    CHECK(distance(sigma, dense) <= bound);
    CHECK(inflated_rank(adapter) == numerical_rank(P));
    if (dense(n - 1) > 1e-8) {
      CHECK(multiplier_condition(adapter) ==
            doctest::Approx(dense(0) / dense(n - 1)).epsilon(1e-6));
      const Determinant d = multiplier_determinant(adapter);
      CHECK(d.sign * std::exp(d.log_abs) == doctest::Approx(P.determinant()).epsilon(1e-8));
    }
  }
}

TEST_CASE_TEMPLATE("the rank of the change by the declared structure is the dense one", I, Identity,
                   Shifted<1>, Shifted<2>, Shifted<0>) {
  for (const Index n : {6, 15}) {
    const auto pre = random_adapter<Adapter<double, I>>(n, 3);
    const auto post = random_adapter<Adapter<double, I, Auto, Post>>(n, 3);
    const Matrix<double> change = pre.inflated() - Matrix<double>::Identity(n, n);
    const Matrix<double> tall = random_matrix<double>(n, 9, 4);
    const Matrix<double> wide = random_matrix<double>(9, n, 5);
    CHECK(delta_rank(pre, tall) == numerical_rank((change * tall).eval()));
    CHECK(delta_rank(post, wide) == numerical_rank((wide * change).eval()));
  }
}

TEST_CASE("a LoRMA+ multiplier of any width is cheap and exact to 1e-13") {
  constexpr Index n = 600, r = 8;
  const auto adapter = random_adapter<Adapter<double, Identity>>(n, r);
  const Eigen::VectorXd dense = singular_values(adapter.inflated());
  const Eigen::VectorXd sigma = multiplier_singular_values(adapter);
  CHECK((sigma - dense).cwiseAbs().maxCoeff() <= 1e-13 * dense(0));
}

TEST_CASE("Theorem 1: full column rank reaches every target from the left") {
  const Matrix<double> M0 = random_matrix<double>(9, 5, 1);
  const Matrix<double> M = random_matrix<double>(9, 5, 2);
  const Multiplier m = find_multiplier(M0, M);
  CHECK(m.reaches_all);
  CHECK(m.exists);
  CHECK(m.obstacle.empty());
  CHECK(distance(m.P * M0, M) <= 1e-12 * norm(M));
  // Corollary 1.1: from the right alone a tall M0 does not reach every target.
  const Multiplier right = find_multiplier<Post>(M0, M);
  CHECK_FALSE(right.reaches_all);
  CHECK_FALSE(right.exists);
  CHECK(right.residual > 0.1);
  CHECK(right.obstacle.find("row rank 5 of 9") != std::string::npos);
  CHECK(distance(M0 * right.P, M) / norm(M) == doctest::Approx(right.residual).epsilon(1e-9));
  // The transposed problem has the transposed answer.
  const Multiplier transposed = find_multiplier<Post>(M0.transpose(), M.transpose());
  CHECK(transposed.exists);
  CHECK(distance(transposed.P, m.P.transpose()) <= 1e-10 * norm(m.P));
}

TEST_CASE("a deficient M0 reaches what lies in its span, and only that") {
  const Matrix<double> M0 = random_matrix<double>(8, 3, 1) * random_matrix<double>(3, 6, 2);
  const Matrix<double> reachable = random_matrix<double>(8, 8, 3) * M0;
  const Multiplier yes = find_multiplier(M0, reachable);
  CHECK_FALSE(yes.reaches_all);
  CHECK(yes.exists);
  CHECK(distance(yes.P * M0, reachable) <= 1e-11 * norm(reachable));
  const Multiplier no = find_multiplier(M0, random_matrix<double>(8, 6, 4));
  CHECK_FALSE(no.exists);
  CHECK(no.obstacle.find("column rank 3 of 6") != std::string::npos);
}

TEST_CASE("edges of find_multiplier: zero, empty, other sizes, not finite") {
  const Matrix<double> zero = Matrix<double>::Zero(4, 3);
  CHECK(find_multiplier(zero, zero).exists);
  CHECK_FALSE(find_multiplier(zero, Matrix<double>::Ones(4, 3)).exists);
  CHECK(find_multiplier(Matrix<double>(4, 0), Matrix<double>(4, 0)).exists);
  CHECK_THROWS_AS(find_multiplier(zero, Matrix<double>(3, 4)), ShapeError);
  Matrix<double> bad = zero;
  bad(0, 0) = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(find_multiplier(bad, zero), NonFinite);
  CHECK_THROWS_AS(find_multiplier(zero, bad), NonFinite);
}

TEST_CASE_TEMPLATE("extract finds the adapter that made the change", Side, Pre, Post) {
  for (const auto& sizes : {std::pair<Index, Index>{8, 8}, {9, 5}, {5, 9}}) {
    const Index d = std::get<0>(sizes);
    const Index k = std::get<1>(sizes);
    CAPTURE(d);
    const Index n = Side::dim(d, k);
    Adapter<double, Identity, Auto, Side> adapter(n, 2, 2.0);
    adapter.A() = random_matrix<double>(2, n, 1);
    adapter.B() = random_matrix<double>(n, 2, 2);
    const Matrix<double> W0 = random_matrix<double>(d, k, 3);
    const Matrix<double> W = adapter.merge(W0);
    const ExtractedFactors found = extract<Side>(W0, W, 2);
    CHECK(found.residual <= 1e-10);
    Adapter<double, Identity, Auto, Side> again(n, 2, 2.0);  // scale 1
    again.A() = found.A;
    again.B() = found.B;
    CHECK(distance(again.merge(W0), W) <= 1e-10 * norm(W));
    // A rank more than needed changes nothing; one too few is the best of its rank.
    CHECK(extract<Side>(W0, W, 5).residual <= 1e-10);
    const ExtractedFactors low = extract<Side>(W0, W, 1);
    Adapter<double, Identity, Auto, Side> one(n, 1, 1.0);
    one.A() = low.A;
    one.B() = low.B;
    const double reached = distance(one.merge(W0), W) / norm(W - W0);
    CHECK(reached == doctest::Approx(low.residual).epsilon(1e-8));
    // No random neighbour does better.
    for (unsigned seed = 10; seed < 20; ++seed) {
      auto other = one;
      other.A() += 0.01 * random_matrix<double>(1, n, seed);
      other.B() += 0.01 * random_matrix<double>(n, 1, seed + 50);
      CHECK(distance(other.merge(W0), W) / norm(W - W0) >= low.residual - 1e-12);
    }
  }
}

TEST_CASE("extract says what no rank reaches") {
  Matrix<double> W0 = random_matrix<double>(6, 6, 1);
  W0.rightCols(2).setZero();  // rows span the first four coordinates
  Matrix<double> W = W0;
  W(0, 5) += 3.0;
  W(1, 1) += 4.0;
  const ExtractedFactors e = extract(W0, W, 6);
  CHECK(e.unreachable == doctest::Approx(0.6));
  CHECK(e.residual == doctest::Approx(0.6));
  CHECK(extract(W0, W0, 3).residual == 0.0);
  CHECK_THROWS_AS(extract(W0, W, 0), ShapeError);
}

TEST_CASE("the report of inflations: one line each, at the same factors") {
  const auto adapter = random_adapter<Adapter<double, Identity>>(20, 3);
  const auto lines = inflation_report(adapter.factors());
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].inflation == "Identity");
  CHECK(lines[0].rank == 20);
  CHECK(lines[1].inflation == "CyclicPermutation");
  CHECK(lines[1].rank == 20);
  CHECK(lines[2].inflation == "None");
  CHECK(lines[2].rank == 3);
  CHECK(std::isinf(lines[2].condition));
  const double M = norm(adapter.scale() * adapter.B() * adapter.A());
  CHECK(lines[0].distance_to_identity == doctest::Approx(M / std::sqrt(20.0)));
}

TEST_CASE("the recorder follows a training and writes it down") {
  using A = Adapter<double, Identity>;
  A adapter(6, 2, 2.0);
  std::mt19937_64 urbg(1);
  adapter.initialize(urbg);
  const Matrix<double> W0 = random_matrix<double>(6, 5, 1);
  A::Gradients g;
  g.dA = random_matrix<double>(2, 6, 2);
  g.dB = random_matrix<double>(6, 2, 3);
  TrainingRecorder recorder;
  recorder.record(0, 1.0, adapter, g, W0);
  adapter.B() -= 0.1 * g.dB;
  recorder.record(10, 0.5, adapter, g, W0);
  REQUIRE(recorder.records().size() == 2);
  const TrainingRecord& first = recorder.records()[0];
  const TrainingRecord& second = recorder.records()[1];
  CHECK(std::isnan(first.update_B));
  CHECK(first.rank_of_change == 0);
  CHECK(first.effective_rank == doctest::Approx(6.0));
  CHECK(second.update_A == 0.0);
  CHECK(second.update_B == doctest::Approx(0.1 * norm(g.dB)));
  CHECK(second.rank_of_change == 2);
  CHECK(second.update_W == doctest::Approx(distance(adapter.merge(W0), W0)));
  CHECK(second.gradient_A == doctest::Approx(norm(g.dA)));
  std::ostringstream csv;
  recorder.write_csv(csv);
  const std::string lines = csv.str();
  CHECK(lines.find("0,1,6,1,0,") != std::string::npos);
  CHECK(std::count(lines.begin(), lines.end(), '\n') == 3);
  std::ostringstream text;
  recorder.write_json(text);
  const auto json = nlohmann::json::parse(text.str());
  CHECK(json.at(0).at("update_B").is_null());
  CHECK(json.at(1).at("step") == 10);
  CHECK(json.at(1).at("effective_rank_of_change") ==
        doctest::Approx(effective_rank((adapter.merge(W0) - W0).eval())));
}

TEST_CASE("a recorder follows an additive baseline, which has no multiplier") {
  const Matrix<double> A = random_matrix<double>(2, 7, 1);
  const Matrix<double> zero = Matrix<double>::Zero(5, 2);
  const Matrix<double> B = random_matrix<double>(5, 2, 2);
  const lorma::Gradients<double> g{random_matrix<double>(7, 3, 3), A, B};
  TrainingRecorder recorder;
  recorder.record_additive(0, 1.0, A, zero, 0.5, g);
  recorder.record_additive(1, 0.5, A, B, 0.5, g);
  const TrainingRecord& start = recorder.records()[0];
  const TrainingRecord& end = recorder.records()[1];
  CHECK(start.rank_of_change == 0);
  CHECK(start.effective_rank_of_change == 0.0);
  CHECK(end.rank_of_change == 2);
  CHECK(end.effective_rank_of_change == doctest::Approx(effective_rank((B * A).eval())));
  CHECK(end.update_W == doctest::Approx(0.5 * (B * A).norm()));
  CHECK(std::isnan(end.effective_rank));
}
