// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_RANDOM_HPP
#define LORMA_CORE_RANDOM_HPP

/// Random numbers that are the same on every platform for the same generator, up to the rounding of
/// log1p and cos in normal().
///
/// Does without <random>, whose distributions differ between libraries and which costs a fifth as
/// much to include as Eigen.

#include <cmath>
#include <concepts>
#include <cstdint>
#include <numbers>

#include "lorma/core/view.hpp"

namespace lorma::inline LORMA_ABI {

/// std::mt19937_64 and the like (std::uniform_random_bit_generator).
template <typename G>
concept RandomBits = std::invocable<G&> && requires(G& g) {
  { g() } -> std::unsigned_integral;
  { G::min() } -> std::same_as<std::invoke_result_t<G&>>;
  { G::max() } -> std::same_as<std::invoke_result_t<G&>>;
};

/// U(0, 1) with 53 random bits: std::generate_canonical<double, 53>.
template <RandomBits Urbg>
double uniform(Urbg& urbg) {
  const double range = static_cast<double>(Urbg::max() - Urbg::min()) + 1.0;
  double sum = 0.0;
  double factor = 1.0;
  while (factor < 0x1p53) {
    sum += static_cast<double>(urbg() - Urbg::min()) * factor;
    factor *= range;
  }
  const double u = sum / factor;
  return u < 1.0 ? u : 1.0 - 0x1p-53;
}

/// N(0, 1), by the method of Box and Muller (Ann. Math. Statist. 29, 1958).
template <RandomBits Urbg>
double normal(Urbg& urbg) {
  const double radius = std::sqrt(-2.0 * std::log1p(-uniform(urbg)));
  return radius * std::cos(2.0 * std::numbers::pi * uniform(urbg));
}

/// A small generator for uses where any vector in general position will do: SplitMix64 (Steele, Lea
/// and Flood, OOPSLA 2014).
class SplitMix64 {
 public:
  using result_type = std::uint64_t;
  explicit SplitMix64(std::uint64_t seed) : state_(seed) {}
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return ~result_type(0); }
  result_type operator()() {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }

 private:
  std::uint64_t state_;
};

/// Fills `m` column by column with numbers of U(-bound, bound), drawn in double from `urbg` and
/// rounded once, so that float and double factors start from the same values.
template <typename S, RandomBits Urbg>
void fill_uniform(const MatrixView<S>& m, double bound, Urbg& urbg) {
  for (Index j = 0; j < m.cols; ++j) {
    for (Index i = 0; i < m.rows; ++i) {
      const double u = uniform(urbg);
      m(i, j) = static_cast<S>(bound * (2.0 * u - 1.0));
    }
  }
}

}  // namespace lorma::inline LORMA_ABI

#endif
