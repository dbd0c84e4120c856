// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_RANDOM_HPP
#define LORMA_CORE_RANDOM_HPP

/// Uniform numbers that are the same on every platform for the same generator.
///
/// Does without <random>, whose distributions differ between libraries and which costs a fifth as
/// much to include as Eigen.

#include <cmath>
#include <concepts>

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
