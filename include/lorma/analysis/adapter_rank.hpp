// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_ADAPTER_RANK_HPP
#define LORMA_ANALYSIS_ADAPTER_RANK_HPP

/// Ranks of what an adapter makes: the multiplier P = I(BA), and the change W - W0.

#include "lorma/adapter/adapter.hpp"
#include "lorma/analysis/multiplier_spectrum.hpp"
#include "lorma/analysis/numerical_rank.hpp"

namespace lorma::inline LORMA_ABI::analysis {

namespace detail {

/// The rank of a product of factors, counted with the tolerance of the m x n matrix it stands for.
template <typename S, typename Real>
Index rank_of_product(std::string_view function, const Matrix<Real>& L, const Matrix<Real>& R) {
  // Ranks do not depend on the sizes of L and R.
  const Matrix<Real> left = finite_copy(function, L) / unit_of(L);
  const Matrix<Real> right = finite_copy(function, R) / unit_of(R);
  const Eigen::VectorXd sigma =
      spectrum_of(function, lorma::detail::compressed_product(left, right)).sigma;
  return count_above(sigma, relative_tolerance<S>(L.rows(), R.cols()) * largest(sigma));
}

}  // namespace detail

/// Numerical rank of P = I(BA) (n x n). c I + M by its structure, O(n r^2); other inflations by the
/// singular values of the dense P, O(n^3). Throws NonFinite.
template <typename AdapterType>
Index inflated_rank(const AdapterType& adapter) {
  using S = typename AdapterType::Scalar;
  if constexpr (AddsIdentity<typename AdapterType::Inflation>) {
    const Eigen::VectorXd sigma = detail::multiplier_singular_values("inflated_rank", adapter);
    const Index n = adapter.dim();
    return detail::count_above(sigma, detail::relative_tolerance<S>(n, n) * sigma(0));
  } else {
    return detail::certain_rank("inflated_rank", adapter.inflated()).rank;
  }
}

/// Numerical rank of the weight's change W - W0 (d x k). I + M by its structure, s B (A W0) or
/// (W0 B) s A, without a d x k matrix; other inflations from the dense change (P - I) W0, formed as
/// one product so that no digits are lost in a difference of weights. Throws ShapeError, NonFinite.
template <typename AdapterType, typename Derived>
Index delta_rank(const AdapterType& adapter, const Eigen::MatrixBase<Derived>& W0) {
  using S = typename AdapterType::Scalar;
  using Inflation = typename AdapterType::Inflation;
  constexpr bool pre = std::is_same_v<typename AdapterType::Side, Pre>;
  lorma::detail::check_weight<typename AdapterType::Side>("analysis::delta_rank", "W0",
                                                          adapter.factors(), W0.rows(), W0.cols());
  using Real = DoubleFor<Derived>;
  Matrix<Real> weight = detail::finite_copy("delta_rank", W0);
  weight /= detail::unit_of(weight);  // no rank depends on its size
  if constexpr (IsPlus<Inflation>) {
    const PlusFactors f = detail::balanced_factors("delta_rank", adapter.factors());
    return pre ? detail::rank_of_product<S, Real>("delta_rank", f.B, f.A * weight)
               : detail::rank_of_product<S, Real>("delta_rank", weight * f.B, f.A);
  } else {
    Matrix<Real> change = adapter.inflated().template cast<Real>();
    change.diagonal().array() -= 1.0;
    const Matrix<Real> delta = pre ? change * weight : weight * change;
    const detail::Spectrum spectrum = detail::spectrum_of("delta_rank", delta);
    const Eigen::VectorXd& sigma = spectrum.sigma;
    // Entries of P carry rounding of the adapter's scalar: it counts against the size of P, not of
    // the (perhaps small) change.
    const double noise = epsilon_of<Accumulator<S>>() * weight.norm() / spectrum.unit;
    const double relative =
        detail::relative_tolerance<S>(W0.rows(), W0.cols()) * detail::largest(sigma);
    return detail::count_above(sigma, std::max(relative, noise));
  }
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
