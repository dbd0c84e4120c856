// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_COMPRESSED_PRODUCT_HPP
#define LORMA_ANALYSIS_COMPRESSED_PRODUCT_HPP

/// The singular values of a product of thin factors without the product.

#include <Eigen/QR>
#include <algorithm>

#include "lorma/core/types.hpp"

namespace lorma::inline LORMA_ABI::analysis::detail {

/// L R as a matrix of the same singular values but of the size of its factors: with QR of L and of
/// R^T, L R = Q_L (R_L R_R^T) Q_R^T. L is m x r, R is r x n; the result is at most r x r.
template <typename Real>
Matrix<Real> compressed_product(const Matrix<Real>& L, const Matrix<Real>& R) {
  const auto triangle = [](const Matrix<Real>& m) -> Matrix<Real> {
    const Index count = std::min(m.rows(), m.cols());
    const Eigen::HouseholderQR<Matrix<Real>> qr(m);
    return qr.matrixQR().topRows(count).template triangularView<Eigen::Upper>();
  };
  return triangle(L) * triangle(R.transpose()).transpose();
}

}  // namespace lorma::inline LORMA_ABI::analysis::detail

#endif
