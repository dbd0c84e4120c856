// SPDX-License-Identifier: Apache-2.0
// Exchange with LoRA and the algebra of LoRMA+: identities, not outputs.

#include <doctest/doctest.h>

#include <lorma/convert/lora_exchange.hpp>
#include <lorma/convert/plus_algebra.hpp>
#include <lorma/lorma.hpp>

#include "../support/random_matrices.hpp"
#include "../support/references.hpp"

using namespace lorma;
using lorma_tests::distance;
using lorma_tests::norm;
using lorma_tests::random_matrix;

namespace {

template <typename Side>
Adapter<double, Identity, Auto, Side> random_plus(Index n, Index r, unsigned seed) {
  Adapter<double, Identity, Auto, Side> adapter(n, r, 1.5);
  adapter.B() = random_matrix<double>(n, r, seed);
  adapter.A() = random_matrix<double>(r, n, seed + 1);
  return adapter;
}

Matrix<double> dense(const PlusFactors& f) {
  return Matrix<double>::Identity(f.B.rows(), f.B.rows()) + f.B * f.A;
}

}  // namespace

TEST_CASE_TEMPLATE("a LoRMA+ adapter is a LoRA adapter of its rank, and back", Side, Pre, Post) {
  // Full column rank (Pre) and full row rank (Post): the way back is exact.
  const Index d = std::is_same_v<Side, Pre> ? 14 : 9;
  const Index k = std::is_same_v<Side, Pre> ? 9 : 14;
  const Matrix<double> W0 = random_matrix<double>(d, k, 1);
  const auto adapter = random_plus<Side>(Side::dim(d, k), 3, 2);
  const auto lora = to_additive<Side>(adapter.factors(), W0);
  const Matrix<double> merged = adapter.merge(W0);
  CHECK(lora.A.rows() == 3);
  CHECK(distance(W0 + lora.B * lora.A, merged) <= 1e-13 * norm(merged));
  const auto back = to_multiplicative<Side>(lora.B, lora.A, W0);
  CHECK(back.residual <= 1e-12);
  const Matrix<double> P = dense({back.B, back.A});
  const Matrix<double> again =
      std::is_same_v<Side, Pre> ? Matrix<double>(P * W0) : Matrix<double>(W0 * P);
  CHECK(distance(again, merged) <= 1e-12 * norm(merged));
}

TEST_CASE("a LoRA adapter that no multiplier reaches says how much is missed") {
  const Index d = 6, k = 11;  // no full column rank
  const Matrix<double> W0 = random_matrix<double>(d, k, 1);
  const Matrix<double> B = random_matrix<double>(d, 2, 2);
  const Matrix<double> A = random_matrix<double>(2, k, 3);
  const auto made = to_multiplicative<Pre>(B, A, W0);
  const Matrix<double> missed = made.B * made.A * W0 - B * A;
  CHECK(made.residual > 0.1);
  CHECK(made.residual == doctest::Approx(missed.norm() / (B * A).norm()));
  // Nothing nearer: what is missed is orthogonal to all that the weight spans.
  CHECK((missed * W0.transpose()).norm() <= 1e-12 * norm(W0) * norm(B) * norm(A));
  const auto nothing = to_multiplicative<Pre>(Matrix<double>::Zero(d, 2), A, W0);
  CHECK(nothing.residual == 0.0);
  CHECK_THROWS_AS(to_multiplicative<Pre>(B, A, Matrix<double>(W0.transpose())), ShapeError);
}

TEST_CASE("merged in sequence equals merged composition, and the order matters") {
  const Index n = 12;
  const Matrix<double> W0 = random_matrix<double>(n, n, 1);
  const auto first = random_plus<Pre>(n, 2, 2);
  const auto second = random_plus<Pre>(n, 3, 4);
  const Matrix<double> in_sequence = second.merge(first.merge(W0));
  const auto both = compose(plus_factors(second.factors()), plus_factors(first.factors()));
  CHECK(both.B.cols() == 5);
  CHECK(distance(dense(both) * W0, in_sequence) <= 1e-12 * norm(in_sequence));
  const auto turned = compose(plus_factors(first.factors()), plus_factors(second.factors()));
  CHECK(distance(dense(turned) * W0, in_sequence) >= 1e-3 * norm(in_sequence));
  CHECK_THROWS_AS(
      compose(plus_factors(first.factors()), plus_factors(random_plus<Pre>(n + 1, 2, 2).factors())),
      ShapeError);
}

TEST_CASE("strength goes from the identity to the adapter") {
  const auto f = plus_factors(random_plus<Pre>(7, 2, 2).factors());
  const Matrix<double> I = Matrix<double>::Identity(7, 7);
  CHECK(dense(with_strength(f, 0.0)) == I);
  CHECK(dense(with_strength(f, 1.0)) == dense(f));
  CHECK(distance(dense(with_strength(f, 0.3)), 0.7 * I + 0.3 * dense(f)) <= 1e-14 * norm(dense(f)));
}

TEST_CASE("a change of rank is the best one") {
  for (const auto& sizes :
       {std::tuple<Index, Index, Index>{15, 6, 2}, {4, 9, 3}, {10, 3, 3}, {10, 3, 7}, {1, 1, 1}}) {
    const Index n = std::get<0>(sizes);
    const Index r = std::get<1>(sizes);
    const Index wanted = std::get<2>(sizes);
    CAPTURE(n);
    CAPTURE(r);
    CAPTURE(wanted);
    const auto f = plus_factors(random_plus<Pre>(n, r, 2).factors());
    const Matrix<double> change = f.B * f.A;
    const auto result = with_rank(f, wanted);
    CHECK(result.factors.B.cols() == wanted);
    const Eigen::VectorXd sigma = lorma_tests::reference_singular_values(change);
    double best = 0.0;
    for (Index i = wanted; i < sigma.size(); ++i) best += sigma(i) * sigma(i);
    best = std::sqrt(best);
    const double reached = distance(result.factors.B * result.factors.A, change);
    CHECK(std::abs(reached - best) <= 1e-12 * norm(change));
    CHECK(std::abs(result.dropped * norm(change) - best) <= 1e-12 * norm(change));
  }
  CHECK_THROWS_AS(with_rank(plus_factors(random_plus<Pre>(4, 2, 2).factors()), 0), ShapeError);
  // Factors whose squares leave the range of double, none at all, and not numbers.
  const auto f = plus_factors(random_plus<Pre>(6, 2, 2).factors());
  const auto plain = with_rank(f, 1);
  for (const double scale : {1e-170, 1e-100, 1e150}) {
    const auto scaled = with_rank({scale * f.B, f.A / 3.0}, 1);
    CHECK(scaled.dropped == doctest::Approx(plain.dropped));
    CHECK(scaled.spectrum(0) == doctest::Approx(plain.spectrum(0) * (scale / 3.0)));
    CHECK(distance(scaled.factors.B * scaled.factors.A / (scale / 3.0),
                   plain.factors.B * plain.factors.A) <=
          1e-12 * norm(plain.factors.B) * norm(plain.factors.A));
  }
  const auto none = with_rank({Matrix<double>(6, 0), Matrix<double>(0, 6)}, 2);
  CHECK(none.factors.B.isZero());
  CHECK(none.dropped == 0.0);
  PlusFactors bad = f;
  bad.A(0, 0) = std::nan("");
  CHECK_THROWS_AS(with_rank(bad, 1), NonFinite);
}
