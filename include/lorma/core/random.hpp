// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_RANDOM_HPP
#define LORMA_CORE_RANDOM_HPP

/// Uniform numbers that are the same on every platform for the same generator.

#include <random>

#include "lorma/core/view.hpp"

namespace lorma::inline LORMA_ABI {

/// Fills `m` column by column with numbers of U(-bound, bound), drawn in double from `urbg` and
/// rounded once, so that float and double factors start from the same values. (The standard fixes
/// generate_canonical, but leaves the distributions to each library.)
template <typename S, std::uniform_random_bit_generator Urbg>
void fill_uniform(const MatrixView<S>& m, double bound, Urbg& urbg) {
  for (Index j = 0; j < m.cols; ++j) {
    for (Index i = 0; i < m.rows; ++i) {
      const double u = std::generate_canonical<double, 53>(urbg);
      m(i, j) = static_cast<S>(bound * (2.0 * u - 1.0));
    }
  }
}

}  // namespace lorma::inline LORMA_ABI

#endif
