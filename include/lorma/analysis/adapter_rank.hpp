// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_ADAPTER_RANK_HPP
#define LORMA_ANALYSIS_ADAPTER_RANK_HPP

/// Ranks of what an adapter makes: the multiplier P = I(BA), and the change W - W0.

#include "lorma/adapter/adapter.hpp"
#include "lorma/analysis/compressed_product.hpp"
#include "lorma/analysis/numerical_rank.hpp"
#include "lorma/operators/identity_core.hpp"

namespace lorma::inline LORMA_ABI::analysis {

namespace detail {

/// The rank of a product of factors, counted with the tolerance of the m x n matrix it stands for.
template <typename S>
Index rank_of_product(const Matrix<double>& L, const Matrix<double>& R) {
  const Eigen::VectorXd sigma =
      singular_values_of(finite_copy("rank_of_product", compressed_product(L, R)));
  return count_above(
      sigma, static_cast<double>(std::max(L.rows(), R.cols())) * epsilon_of<S>() * largest(sigma));
}

}  // namespace detail

/// Numerical rank of P = I(BA) (n x n). Identity and None by their structure, O(n r^2); other
/// inflations by the singular values of the dense P, O(n^3). Throws NonFinite.
template <typename AdapterType>
Index inflated_rank(const AdapterType& adapter) {
  using S = typename AdapterType::Scalar;
  using Inflation = typename AdapterType::Inflation;
  if constexpr (std::is_same_v<Inflation, Identity>) {
    detail::finite_copy("inflated_rank", adapter.A());
    detail::finite_copy("inflated_rank", adapter.B());
    const IdentityCore core = identity_core(adapter.factors());
    const double tolerance = static_cast<double>(core.dim) * detail::epsilon_of<S>() * core.largest;
    const Index ones = core.dim - core.singular_values.size();
    return (tolerance < 1.0 ? ones : 0) + detail::count_above(core.singular_values, tolerance);
  } else if constexpr (std::is_same_v<Inflation, None>) {
    return detail::rank_of_product<S>(adapter.B().template cast<double>(),
                                      adapter.A().template cast<double>());
  } else {
    return numerical_rank(adapter.inflated());
  }
}

/// Numerical rank of the weight's change W - W0 (d x k). Identity by its structure, s B (A W0) or
/// (W0 B) s A, without a d x k matrix; other inflations from the dense change (P - I) W0, formed as
/// one product so that no digits are lost in a difference of weights.
template <typename AdapterType, typename Derived>
Index delta_rank(const AdapterType& adapter, const Eigen::MatrixBase<Derived>& W0) {
  using S = typename AdapterType::Scalar;
  using Inflation = typename AdapterType::Inflation;
  constexpr bool pre = std::is_same_v<typename AdapterType::Side, Pre>;
  lorma::detail::check_weight<typename AdapterType::Side>("analysis::delta_rank", "W0",
                                                          adapter.factors(), W0.rows(), W0.cols());
  const Matrix<double> weight = detail::finite_copy("delta_rank", W0);
  if constexpr (std::is_same_v<Inflation, Identity>) {
    const Matrix<double> A = adapter.A().template cast<double>();
    const Matrix<double> B = adapter.B().template cast<double>();
    if constexpr (pre) {
      return detail::rank_of_product<S>(B, A * weight);
    } else {
      return detail::rank_of_product<S>(weight * B, A);
    }
  } else {
    Matrix<double> change = adapter.inflated().template cast<double>();
    change.diagonal().array() -= 1.0;
    Matrix<double> delta = pre ? Matrix<double>(change * weight) : Matrix<double>(weight * change);
    const Eigen::VectorXd sigma = detail::singular_values_of(std::move(delta));
    // Entries of P carry rounding of the adapter's scalar: it counts against the size of P, not of
    // the (perhaps small) change.
    const double noise = detail::epsilon_of<S>() * weight.norm();
    const double relative = static_cast<double>(std::max(W0.rows(), W0.cols())) *
                            detail::epsilon_of<S>() * detail::largest(sigma);
    return detail::count_above(sigma, std::max(relative, noise));
  }
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
