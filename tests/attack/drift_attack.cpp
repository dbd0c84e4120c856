// SPDX-License-Identifier: Apache-2.0
// Twenty merges and unmerges of one weight, against what RoundTrip::relative_error says of one.

#include <lorma/adapter/adapter.hpp>

#include "attack.hpp"
#include "random_adapters.hpp"

using namespace lorma;
using namespace lorma_attack;

namespace {

constexpr int cycles = 20;

template <typename S, typename T, typename Inflation>
double drift(std::mt19937_64& urbg) {
  const Index n = integer(urbg, 1, 40);
  const Index r = integer(urbg, 1, 4);
  const Index k = integer(urbg, 1, 6);
  const int kind = static_cast<int>(urbg() % 10);
  const RandomFactors f = random_factors(urbg, kind, n, r, TurnsRows<Inflation>);
  const Matrix<S> B = f.B.cast<S>(), A = f.A.cast<S>();
  const AdapterView<S, Inflation> a(B, A, static_cast<S>(f.scale));
  const Matrix<double> P = a.inflated().template cast<double>();
  const Matrix<T> W0 = random_weight(urbg, P, k).cast<S>().template cast<T>();
  const Matrix<double> original = W0.template cast<double>();
  const RoundTrip lost = Inverse<Inflation, S>(a.factors()).round_trip();
  double once = lost.relative_error(epsilon_of<T>());
  Matrix<T> W = W0;
  for (int cycle = 0; cycle < cycles; ++cycle) {
    a.merge_in_place(W);
    const Matrix<double> merged = W.template cast<double>();
    if (!merged.allFinite()) return 0.0;                 // no weight to unmerge
    if (std::is_same_v<T, Eigen::half> && cycle == 0) {  // numbers below its smallest normal one
      once += 0x1p-25 * std::sqrt(static_cast<double>(n * k)) *
              (lost.condition / merged.norm() + 1.0 / original.norm());
    }
    try {
      a.unmerge_in_place(W);
    } catch (const RankDeficient&) {
      return 0.0;
    }
  }
  const double bound = std::pow(1.0 + once, cycles) - 1.0;
  return (W.template cast<double>() - original).norm() / (bound * original.norm());
}

}  // namespace

TEST_CASE("twenty cycles drift no more than twenty times their bound, compounded") {
  search("drift, LoRMA+, float", 15, drift<float, float, Identity>);
  search("drift, LoRMA+, double", 15, drift<double, double, Identity>);
  search("drift, LoRMA+, bfloat16", 15, drift<float, Eigen::bfloat16, Identity>);
  search("drift, LoRMA+, half", 15, drift<float, Eigen::half, Identity>);
  search("drift, LoRMA_pi, float", 15, drift<float, float, CyclicPermutation>);
  search("drift, LoRMA_pi, bfloat16", 15, drift<float, Eigen::bfloat16, CyclicPermutation>);
  search("drift, LoRMA_pi, half", 15, drift<float, Eigen::half, CyclicPermutation>);
}
