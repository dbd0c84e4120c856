// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_MULTIPLIER_SPECTRUM_HPP
#define LORMA_ANALYSIS_MULTIPLIER_SPECTRUM_HPP

/// The spectrum of P = I(BA) from its structure (docs/mathematics.md, equation (14)), in double.
///
/// c I + M: all but 2r singular values are |c|, the others are those of a 2r x 2r matrix; O(n r^2).
/// Other inflations: of the dense P, O(n^3); the two ends alone are cheaper
/// (extreme_singular_values.hpp).

#include <algorithm>
#include <functional>

#include "lorma/adapter/adapter.hpp"
#include "lorma/analysis/spectrum_measures.hpp"
#include "lorma/operators/shifted_core.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// All n singular values of P, descending. Throws NonFinite.
template <typename AdapterType>
Eigen::VectorXd multiplier_singular_values(const AdapterType& adapter) {
  using Inflation = typename AdapterType::Inflation;
  const Index n = adapter.dim();
  if constexpr (AddsIdentity<Inflation>) {
    constexpr double c = identity_multiple<Inflation>;
    const Eigen::VectorXd few = shifted_core(adapter.factors(), c).singular_values;
    if (!few.allFinite()) detail::throw_non_finite("multiplier_singular_values", n, n);
    Eigen::VectorXd sigma = Eigen::VectorXd::Constant(n, std::abs(c));
    sigma.head(few.size()) = few;
    std::sort(sigma.data(), sigma.data() + n, std::greater<>());
    return sigma;
  } else {
    return singular_values(adapter.inflated());
  }
}

/// Condition number of P in the 2-norm; infinite when singular. Throws NonFinite.
template <typename AdapterType>
double multiplier_condition(const AdapterType& adapter) {
  return detail::condition_of(multiplier_singular_values(adapter));
}

/// c I + M by its structure, O(n r^2). Other inflations by LU, O(n^3).
template <typename AdapterType>
Determinant multiplier_determinant(const AdapterType& adapter) {
  using Inflation = typename AdapterType::Inflation;
  if constexpr (AddsIdentity<Inflation>) {
    return shifted_core(adapter.factors(), identity_multiple<Inflation>).determinant;
  } else {
    return lorma::detail::lu<double>(adapter.inflated().template cast<double>()).determinant();
  }
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
