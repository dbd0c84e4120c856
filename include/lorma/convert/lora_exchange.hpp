// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CONVERT_LORA_EXCHANGE_HPP
#define LORMA_CONVERT_LORA_EXCHANGE_HPP

/// Between LoRMA+ and additive LoRA (W = W0 + B A), exactly where that is possible.
///
///   AdditiveFactors lora = to_additive<Pre>(factors, W0);        // any LoRA runtime can load it
///   MultiplicativeFactors back = to_multiplicative<Pre>(lora.B, lora.A, W0);
///
/// (I + s B A) W0 = W0 + (s B) (A W0), and W0 (I + s B A) = W0 + (s W0 B) A: a LoRMA+ adapter is a
/// LoRA adapter of the same rank. Back: A = A_lora W0^+ (Pre) or B = W0^+ B_lora (Post), exact when
/// the rows (Pre) or columns (Post) of the change lie in the span of those of W0. Source:
/// docs/mathematics.md, section 7.

#include "lorma/analysis/pseudo_inverse.hpp"
#include "lorma/core/plus_factors.hpp"
#include "lorma/policies/side.hpp"

namespace lorma::inline LORMA_ABI {

/// W = W0 + B A.
struct AdditiveFactors {
  Matrix<double> B;  ///< d x r
  Matrix<double> A;  ///< r x k
};

/// W = (I + B A) W0 (Pre) or W0 (I + B A) (Post).
struct MultiplicativeFactors : PlusFactors {
  double residual = 0.0;  ///< ||change reached - change||_F / ||change||_F; 0 where there is none
};

namespace detail {

/// ||B A||_F = ||R A||_F with B = Q R: no product of the full size, and no squares that cancel.
template <typename Real>
double product_norm(const Matrix<Real>& B, const Matrix<Real>& A) {
  if (B.size() == 0 || A.size() == 0) return 0.0;
  // A matrix of its own: stableNorm would evaluate a product once a column.
  const Matrix<Real> same = (B.rows() <= B.cols() ? B : triangle(B)) * A;
  return same.stableNorm();
}

#ifdef LORMA_COMPILED
extern template double product_norm(const Matrix<double>&, const Matrix<double>&);
#endif

}  // namespace detail

/// The additive factors of a LoRMA+ adapter, its scale baked into B. Cost 2 d k r. Throws
/// ShapeError unless W0 (d x k) fits the factors, NonFinite.
template <typename Side = Pre, typename Derived>
AdditiveFactors to_additive(const PlusFactors& f, const Eigen::MatrixBase<Derived>& W0) {
  constexpr bool pre = std::is_same_v<Side, Pre>;
  const Index n = f.B.rows();
  detail::check_shape("to_additive", "W0", W0.rows(), W0.cols(), pre ? n : W0.rows(),
                      pre ? W0.cols() : n);
  const auto& weight = W0.template cast<double>().eval();
  PlusFactors made = f;
  if constexpr (pre) {
    made.A = f.A * weight;
  } else {
    made.B = weight * f.B;
  }
  detail::check_finite_factors("to_additive", made);
  return {std::move(made.B), std::move(made.A)};
}
template <typename Side = Pre, typename S, typename Derived>
AdditiveFactors to_additive(const Factors<S>& f, const Eigen::MatrixBase<Derived>& W0) {
  detail::check_factors("to_additive", f);
  return to_additive<Side>(plus_factors(f), W0);
}

/// The LoRMA+ factors (scale 1) nearest to W0 + B A, and what they miss. Cost: that of
/// analysis::PseudoInverse. Throws ShapeError, NonFinite.
template <typename Side = Pre, typename DB, typename DA, typename Derived>
MultiplicativeFactors to_multiplicative(const Eigen::MatrixBase<DB>& B,
                                        const Eigen::MatrixBase<DA>& A,
                                        const Eigen::MatrixBase<Derived>& W0) {
  detail::check_shape("to_multiplicative", "B (d x r)", B.rows(), B.cols(), W0.rows(), A.rows());
  detail::check_shape("to_multiplicative", "A (r x k)", A.rows(), A.cols(), B.cols(), W0.cols());
  MultiplicativeFactors result;
  result.B = B.template cast<double>();
  result.A = A.template cast<double>();
  detail::check_finite_factors("to_multiplicative", result);
  // Of size 1 by powers of two: the residual does not depend on it.
  const double unit_B = analysis::detail::unit_of(result.B);
  const double unit_A = analysis::detail::unit_of(result.A);
  const Matrix<double> b = result.B / unit_B;
  const Matrix<double> a = result.A / unit_A;
  double left = 0.0;
  if constexpr (std::is_same_v<Side, Pre>) {
    const analysis::PseudoInverse<> inverse("to_multiplicative", W0);
    result.A = inverse.times_of_weight(a);
    left = detail::product_norm<double>(b, result.A * inverse.weight() - a);
    result.A *= unit_A / inverse.unit();
  } else {
    // W0^+ b = (b^T (W0^T)^+)^T
    const analysis::PseudoInverse<> inverse("to_multiplicative", W0.transpose());
    const Matrix<double> turned = inverse.times_of_weight(b.transpose());
    const Matrix<double> missed = turned * inverse.weight() - b.transpose();
    left = detail::product_norm<double>(missed.transpose(), a);
    result.B = turned.transpose() * (unit_B / inverse.unit());
  }
  detail::check_finite_factors("to_multiplicative", result);
  const double size = detail::product_norm(b, a);
  result.residual = size == 0.0 ? 0.0 : left / size;
  return result;
}

}  // namespace lorma::inline LORMA_ABI

#endif
