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
/// docs/mathematics.md, "Exchange with LoRA".

#include <Eigen/QR>

#include "lorma/core/factors.hpp"
#include "lorma/policies/side.hpp"

namespace lorma::inline LORMA_ABI {

/// W = W0 + B A.
struct AdditiveFactors {
  Matrix<double> B;  ///< d x r
  Matrix<double> A;  ///< r x k
};

/// W = (I + B A) W0 (Pre) or W0 (I + B A) (Post).
struct MultiplicativeFactors {
  Matrix<double> B;       ///< n x r
  Matrix<double> A;       ///< r x n
  double residual = 0.0;  ///< ||change reached - change||_F / ||change||_F; 0 where there is none
};

namespace detail {

template <typename S>
Matrix<double> in_double(const MatrixView<const S>& view) {
  Matrix<double> m(view.rows, view.cols);
  for (Index j = 0; j < view.cols; ++j) {
    for (Index i = 0; i < view.rows; ++i) m(i, j) = static_cast<double>(view(i, j));
  }
  return m;
}

/// ||B A||_F through the triangular factors, without forming the product.
inline double product_norm(const Matrix<double>& B, const Matrix<double>& A) {
  const Matrix<double> gram_B = B.transpose() * B;
  const Matrix<double> gram_A = A * A.transpose();
  return std::sqrt(std::max(0.0, gram_B.cwiseProduct(gram_A).sum()));
}

}  // namespace detail

/// The additive factors of a LoRMA+ adapter, its scale baked into B. Cost 2 d k r. Throws
/// ShapeError unless W0 (d x k) fits the factors.
template <typename Side = Pre, typename S, typename Derived>
AdditiveFactors to_additive(const Factors<S>& f, const Eigen::MatrixBase<Derived>& W0) {
  detail::check_factors("to_additive", f);
  constexpr bool pre = std::is_same_v<Side, Pre>;
  detail::check_shape("to_additive", "W0", W0.rows(), W0.cols(), pre ? f.dim() : W0.rows(),
                      pre ? W0.cols() : f.dim());
  const Matrix<double> B = static_cast<double>(f.scale) * detail::in_double(f.B);
  const Matrix<double> A = detail::in_double(f.A);
  if constexpr (pre) {
    return {B, A * W0.template cast<double>()};
  } else {
    return {W0.template cast<double>() * B, A};
  }
}

/// The LoRMA+ factors (scale 1) nearest to W0 + B A, and what they miss. Cost of one complete
/// orthogonal decomposition of W0. Throws ShapeError.
template <typename Side = Pre, typename DB, typename DA, typename Derived>
MultiplicativeFactors to_multiplicative(const Eigen::MatrixBase<DB>& B,
                                        const Eigen::MatrixBase<DA>& A,
                                        const Eigen::MatrixBase<Derived>& W0) {
  detail::check_shape("to_multiplicative", "B (d x r)", B.rows(), B.cols(), W0.rows(), A.rows());
  detail::check_shape("to_multiplicative", "A (r x k)", A.rows(), A.cols(), B.cols(), W0.cols());
  const Matrix<double> weight = W0.template cast<double>();
  const Matrix<double> b = B.template cast<double>();
  const Matrix<double> a = A.template cast<double>();
  MultiplicativeFactors result;
  const auto relative = [](double left, double all) { return all > 0.0 ? left / all : 0.0; };
  if constexpr (std::is_same_v<Side, Pre>) {
    // Least squares for A W0 = a, one row of A each.
    const Matrix<double> columns = weight.transpose();
    result.A = columns.completeOrthogonalDecomposition().solve(a.transpose()).transpose();
    result.B = b;
    const Matrix<double> missed = result.A * weight - a;
    result.residual = relative(detail::product_norm(b, missed), detail::product_norm(b, a));
  } else {
    result.B = weight.completeOrthogonalDecomposition().solve(b);
    result.A = a;
    const Matrix<double> missed = weight * result.B - b;
    result.residual = relative(detail::product_norm(missed, a), detail::product_norm(b, a));
  }
  return result;
}

}  // namespace lorma::inline LORMA_ABI

#endif
