// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_BACKEND_CUBLAS_WORK_HPP
#define LORMA_BACKEND_CUBLAS_WORK_HPP

/// What the evaluations do on a GPU, for the cost model: the products are those of a CPU, but no
/// cache holds what one kernel leaves for the next, and starting a kernel takes time.

#include <algorithm>
#include <cmath>

#include "lorma/backend/cost_rates.hpp"
#include "lorma/policies/evaluation.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// Members as lorma::EvaluationWork has them; an evaluation that is not here is counted by that.
template <typename Evaluation>
struct CublasWork;

template <>
struct CublasWork<Factored> {
  /// A Y reads Y, the update reads and writes it.
  static Work apply(double n, double r, double b, double size) {
    return {.thin = 4 * n * r * b, .bytes = 3 * n * b * size, .starts = 3};
  }
  /// G is read for B^T G and dB, Y for dA; dY is G copied and updated.
  static Work vjp(double n, double r, double b, double size) {
    return {.thin = 8 * n * r * b, .bytes = 7 * n * b * size, .starts = 5};
  }
};

template <>
struct CublasWork<Dense> {
  static Work apply(double n, double r, double b, double size) {
    return {.product = 2 * n * n * b,
            .thin = 2 * n * n * r,
            .bytes = (4 * n * n + 2 * n * b) * size,
            .starts = 3};
  }
  static Work vjp(double n, double r, double b, double size) {
    return {.product = 4 * n * n * b,
            .thin = 6 * n * n * r,
            .bytes = (10 * n * n + 4 * n * b) * size,
            .starts = 7};
  }
};

template <>
struct CublasWork<Spectral> {
  /// 2.5 n log2 n where n has no prime factor above 7; otherwise Bluestein's algorithm, two complex
  /// transforms of a power of two of at least 2 n - 1.
  static double one_transform(double n) {
    auto rest = static_cast<long long>(n);
    for (const long long p : {2LL, 3LL, 5LL, 7LL}) {
      while (rest > 1 && rest % p == 0) rest /= p;
    }
    if (rest == 1) return 2.5 * n * std::log2(std::max(2.0, n));
    const double levels = std::ceil(std::log2(2 * n - 1));
    return 10.0 * std::exp2(levels) * levels;
  }
  /// Intermediate numbers are float or double.
  static double wide(double size) { return std::max(size, 4.0); }
  /// Each of the r b columns between the transforms is written and read twice.
  static Work apply(double n, double r, double b, double size) {
    return {.transform = ((r + 1) * b + r) * one_transform(n),
            .bytes = (4 * r + 4) * n * b * wide(size) + 2 * n * b * size,
            .starts = 7};
  }
  /// Twice that, and once more by the gradient of A.
  static Work vjp(double n, double r, double b, double size) {
    return {.transform = ((2 * r + 2) * b + 2 * r) * one_transform(n),
            .bytes = (9 * r + 8) * n * b * wide(size) + 4 * n * b * size,
            .starts = 18};
  }
};

}  // namespace lorma::inline LORMA_ABI::detail

#endif
