// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_MULTIPLIER_SPECTRUM_HPP
#define LORMA_ANALYSIS_MULTIPLIER_SPECTRUM_HPP

/// The spectrum of P = I(BA) from its structure (docs/mathematics.md, section 5), in double.
///
/// Identity: all but 2r singular values are 1, the others are those of a 2r x 2r matrix; None:
/// those of an r x r matrix and zeros; O(n r^2) both. Other inflations: of the dense P, O(n^3); the
/// two ends alone are cheaper (extreme_singular_values.hpp).

#include <Eigen/LU>
#include <algorithm>
#include <cmath>
#include <functional>

#include "lorma/adapter/adapter.hpp"
#include "lorma/analysis/compressed_product.hpp"
#include "lorma/analysis/spectrum_measures.hpp"
#include "lorma/operators/identity_core.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// All n singular values of P, descending. Throws NonFinite.
template <typename AdapterType>
Eigen::VectorXd multiplier_singular_values(const AdapterType& adapter) {
  using Inflation = typename AdapterType::Inflation;
  detail::check_finite("multiplier_singular_values", adapter.A());
  detail::check_finite("multiplier_singular_values", adapter.B());
  const Index n = adapter.dim();
  if constexpr (std::is_same_v<Inflation, Identity>) {
    const IdentityCore core = identity_core(adapter.factors());
    Eigen::VectorXd sigma = Eigen::VectorXd::Ones(n);
    sigma.head(core.singular_values.size()) = core.singular_values;
    std::sort(sigma.data(), sigma.data() + n, std::greater<>());
    return sigma;
  } else if constexpr (std::is_same_v<Inflation, None>) {
    const Matrix<double> B = adapter.B().template cast<double>();
    const Matrix<double> A =
        static_cast<double>(adapter.scale()) * adapter.A().template cast<double>();
    const Eigen::VectorXd few = detail::singular_values_of(detail::compressed_product(B, A));
    Eigen::VectorXd sigma = Eigen::VectorXd::Zero(n);
    sigma.head(few.size()) = few;
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

/// sign(det P) and log |det P|; the sign is 0 and the logarithm minus infinity when P is singular.
struct Determinant {
  double sign = 1.0;
  double log_abs = 0.0;
};

/// Identity: det(I + s B A) = det(I_r + s A B), O(n r^2). Other inflations by LU, O(n^3).
template <typename AdapterType>
Determinant multiplier_determinant(const AdapterType& adapter) {
  Matrix<double> core;
  if constexpr (std::is_same_v<typename AdapterType::Inflation, Identity>) {
    const Index r = adapter.rank();
    core = Matrix<double>::Identity(r, r) + static_cast<double>(adapter.scale()) *
                                                adapter.A().template cast<double>() *
                                                adapter.B().template cast<double>();
  } else {
    core = adapter.inflated().template cast<double>();
  }
  const Eigen::PartialPivLU<Matrix<double>> lu(core);
  Determinant result;
  result.sign = static_cast<double>(lu.permutationP().determinant());
  for (Index i = 0; i < core.rows(); ++i) {
    const double pivot = lu.matrixLU()(i, i);
    result.sign *= pivot > 0.0 ? 1.0 : (pivot < 0.0 ? -1.0 : 0.0);
    result.log_abs += std::log(std::abs(pivot));
  }
  return result;
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
