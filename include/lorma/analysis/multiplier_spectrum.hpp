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

namespace detail {

/// M = s B A as B A in double, both factors of one size by a power of two: no square of theirs
/// overflows or vanishes where those of M do not. Throws NonFinite.
template <typename S>
PlusFactors balanced_factors(std::string_view function, const Factors<S>& f) {
  lorma::detail::check_factors("analysis::" + std::string(function), f);
  PlusFactors result{lorma::detail::in_double(f.B), lorma::detail::in_double(f.A)};
  const auto scale = static_cast<double>(f.scale);
  if (!result.B.allFinite() || !result.A.allFinite() || !std::isfinite(scale)) {
    throw NonFinite("lorma::analysis::" + std::string(function) +
                    ": expected finite factors and a finite scale, got NaN or infinity");
  }
  int exponent = 0;
  const double mantissa = std::frexp(scale, &exponent);
  const double unit_B = unit_of(result.B);
  const double unit_A = unit_of(result.A);
  exponent += std::ilogb(unit_B) + std::ilogb(unit_A);
  const int half = exponent / 2;
  result.B *= mantissa / unit_B;
  result.B *= std::ldexp(1.0, exponent - half);
  result.A /= unit_A;
  result.A *= std::ldexp(1.0, half);
  return result;
}

/// P in double (n x n). Throws NonFinite.
template <typename AdapterType>
Matrix<double> dense_multiplier(std::string_view function, const AdapterType& adapter) {
  const PlusFactors f = balanced_factors(function, adapter.factors());
  const Index r = f.A.rows();
  Adapter<double, typename AdapterType::Inflation> P(f.A.cols(), r, static_cast<double>(r));
  P.B() = f.B;
  P.A() = f.A;
  return finite_copy(function, P.inflated());
}

/// Of c I + M. Throws NonFinite.
template <typename AdapterType>
ShiftedCore core_of(std::string_view function, const AdapterType& adapter) {
  constexpr double c = identity_multiple<typename AdapterType::Inflation>;
  const Index n = adapter.dim();
  ShiftedCore core =
      lorma::detail::shifted_core<double>(balanced_factors(function, adapter.factors()), c);
  if (!core.singular_values.allFinite()) throw_non_finite(function, n, n);
  return core;
}

/// multiplier_singular_values for the messages of `function`.
template <typename AdapterType>
Eigen::VectorXd multiplier_singular_values(std::string_view function, const AdapterType& adapter) {
  using Inflation = typename AdapterType::Inflation;
  const Index n = adapter.dim();
  if constexpr (AddsIdentity<Inflation>) {
    constexpr double c = identity_multiple<Inflation>;
    const Eigen::VectorXd few = core_of(function, adapter).singular_values;
    Eigen::VectorXd sigma = Eigen::VectorXd::Constant(n, std::abs(c));
    sigma.head(few.size()) = few;
    std::sort(sigma.data(), sigma.data() + n, std::greater<>());
    return sigma;
  } else {
    return spectrum_of(function, dense_multiplier(function, adapter)).singular_values();
  }
}

}  // namespace detail

/// All n singular values of P, descending. Throws NonFinite.
template <typename AdapterType>
Eigen::VectorXd multiplier_singular_values(const AdapterType& adapter) {
  return detail::multiplier_singular_values("multiplier_singular_values", adapter);
}

/// Condition number of P in the 2-norm; infinite when singular. Throws NonFinite.
template <typename AdapterType>
double multiplier_condition(const AdapterType& adapter) {
  return detail::condition_of(detail::multiplier_singular_values("multiplier_condition", adapter));
}

/// c I + M by its structure, O(n r^2); M of rank r < n has sign 0 and logarithm -infinity. Other
/// inflations by LU, O(n^3). Throws NonFinite.
template <typename AdapterType>
Determinant multiplier_determinant(const AdapterType& adapter) {
  using Inflation = typename AdapterType::Inflation;
  if constexpr (AddsIdentity<Inflation>) {
    return detail::core_of("multiplier_determinant", adapter).determinant;
  } else {
    return lorma::detail::lu(detail::dense_multiplier("multiplier_determinant", adapter))
        .determinant();
  }
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
