// SPDX-License-Identifier: Apache-2.0
// What merge and unmerge leave of a weight, against RoundTrip::relative_error: adapters of ten
// kinds, weights that favour the worst direction of P, and that a refusal is right.

#include <lorma/adapter/adapter.hpp>

#include "attack.hpp"
#include "random_adapters.hpp"

using namespace lorma;
using namespace lorma_attack;

namespace {

/// Error over bound of one cycle; a refused adapter is none (0).
template <typename S, typename T, typename Inflation, typename Side>
double round_trip(const RandomFactors& f, const Matrix<double>& weight) {
  const Matrix<S> B = f.B.cast<S>(), A = f.A.cast<S>();
  const AdapterView<S, Inflation, Auto, Side> a(B, A, static_cast<S>(f.scale));
  const Matrix<double> turned = std::is_same_v<Side, Pre> ? weight : weight.transpose();
  const Matrix<T> W0 = turned.cast<S>().template cast<T>();
  Matrix<T> W = W0;
  a.merge_in_place(W);
  if (!W.template cast<double>().allFinite()) return 0.0;  // no weight to unmerge
  const Matrix<T> merged = W;
  const RoundTrip lost = Inverse<Inflation, S>(a.factors()).round_trip();
  try {
    a.unmerge_in_place(W);
  } catch (const RankDeficient&) {
    if (W != merged) return std::nan("");
    return lost.loss(epsilon_of<T>()) < 1.0 ? std::nan("") : 0.0;
  }
  const double bound = lost.relative_error(epsilon_of<T>());
  const Matrix<double> original = W0.template cast<double>();
  return (W.template cast<double>() - original).norm() / (bound * original.norm());
}

template <typename S, typename Inflation>
double any_round_trip(std::mt19937_64& urbg) {
  const bool large = urbg() % 512 == 0;
  const Index n = integer(urbg, 1, urbg() % 2 == 0 ? 8 : (large ? 600 : 48));
  const Index r = integer(urbg, 1, urbg() % 16 == 0 ? n + 2 : 4);
  const int kind = static_cast<int>(urbg() % 10);
  const RandomFactors f = random_factors(urbg, kind, n, r, TurnsRows<Inflation>);
  const Matrix<double> P = AdapterView<double, Inflation>(f.B, f.A, f.scale).inflated();
  const Matrix<double> weight =
      random_weight(urbg, urbg() % 2 ? P : P.transpose(), integer(urbg, 1, 6));
  const bool pre = urbg() % 2 == 0;
  const auto as = [&](auto zero) {
    using T = decltype(zero);
    return pre ? round_trip<S, T, Inflation, Pre>(f, weight)
               : round_trip<S, T, Inflation, Post>(f, weight);
  };
  if constexpr (std::is_same_v<S, float>) {
    if (urbg() % 4 == 0) return as(Eigen::bfloat16{});
  }
  return as(S{});
}

/// Of an adapter that is refused, how much too early: a single rounding of each kind, grown by the
/// condition number in long double, must lose half the weight, in double, where the core has a
/// rounding of its own, a 32nd.
template <typename S, typename T, typename Inflation>
double refusal(std::mt19937_64& urbg) {
  using Exact = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;
  const Index n = integer(urbg, 4, 24);
  const int kind = TurnsRows<Inflation> ? 1 : (urbg() % 2 == 0 ? 5 : 6);
  const RandomFactors f = random_factors(urbg, kind, n, integer(urbg, 1, 4), false);
  const Matrix<S> B = f.B.cast<S>(), A = f.A.cast<S>();
  const AdapterView<S, Inflation> a(B, A, static_cast<S>(f.scale));
  const RoundTrip lost = Inverse<Inflation, S>(a.factors()).round_trip();
  if (lost.loss(epsilon_of<T>()) < 1.0) return 0.0;
  const Matrix<double> wide_B = B.template cast<double>(), wide_A = A.template cast<double>();
  Exact P = wide_B.cast<long double>() * wide_A.cast<long double>();
  P *= static_cast<long double>(a.scale());
  if (TurnsRows<Inflation>) {
    const Exact M = P;
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) P(i, j) = M(i, (j - i + n) % n);
    }
  } else {
    P.diagonal().array() += 1.0L;
  }
  const auto sigma = Eigen::JacobiSVD<Exact>(P).singularValues();
  RoundTrip exact = lost;
  exact.condition = static_cast<double>(sigma(0) / sigma(n - 1));
  return (std::is_same_v<S, double> ? 0.03125 : 0.5) / exact.loss(epsilon_of<T>());
}

}  // namespace

TEST_CASE("a round trip loses no more than its bound") {
  search("round trip, LoRMA+, float", 60, any_round_trip<float, Identity>);
  search("round trip, LoRMA+, double", 60, any_round_trip<double, Identity>);
  search("round trip, LoRMA_pi, float", 60, any_round_trip<float, CyclicPermutation>);
  search("round trip, LoRMA_pi, double", 60, any_round_trip<double, CyclicPermutation>);
  search("round trip, None, float", 30, any_round_trip<float, None>);
  search("round trip, None, double", 30, any_round_trip<double, None>);
}

TEST_CASE("what is refused may be lost to a single rounding") {
  search("refusals, LoRMA+, float", 15, refusal<float, float, Identity>);
  search("refusals, LoRMA+, double", 15, refusal<double, double, Identity>);
  search("refusals, LoRMA+, bfloat16", 15, refusal<float, Eigen::bfloat16, Identity>);
  search("refusals, LoRMA_pi, bfloat16", 15, refusal<float, Eigen::bfloat16, CyclicPermutation>);
}
