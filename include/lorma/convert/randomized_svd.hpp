// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CONVERT_RANDOMIZED_SVD_HPP
#define LORMA_CONVERT_RANDOMIZED_SVD_HPP

/// The leading singular triplets of a large matrix from a few products with it.
///
///   TruncatedSvd svd = randomized_svd(M, 16);       // U diag(sigma) V^T, residual
/// Source: Halko, Martinsson, Tropp, "Finding structure with randomness", SIAM Review 53 (2011),
/// algorithms 4.4 and 5.1: a Gaussian sketch, subspace iterations with a factorization after each.

#include <Eigen/QR>
#include <Eigen/SVD>
#include <random>

#include "lorma/core/error.hpp"
#include "lorma/core/random.hpp"

namespace lorma::inline LORMA_ABI {

struct TruncatedSvd {
  Matrix<double> U;       ///< m x r, orthonormal columns
  Eigen::VectorXd sigma;  ///< descending
  Matrix<double> V;       ///< n x r, orthonormal columns
  double residual = 0.0;  ///< ||M - U diag(sigma) V^T||_F / ||M||_F; 0 for M = 0
};

/// Rank r is cut to min(m, n). The same result on every run and platform that rounds alike. Cost
/// 2 (2 iterations + 2) m n (r + 10) flops. Throws ShapeError for r < 1.
template <typename Derived>
TruncatedSvd randomized_svd(const Eigen::MatrixBase<Derived>& M, Index r, int iterations = 4) {
  if (r < 1) {
    throw ShapeError("lorma::randomized_svd: expected a rank >= 1, got " + std::to_string(r));
  }
  const Matrix<double> m = M.template cast<double>();
  const Index smallest = std::min(m.rows(), m.cols());
  const Index width = std::min(smallest, r + 10);
  TruncatedSvd result;
  if (smallest == 0) {
    result.U.resize(m.rows(), 0);
    result.V.resize(m.cols(), 0);
    return result;
  }
  const auto orthonormal = [](const Matrix<double>& X) {
    const Eigen::HouseholderQR<Matrix<double>> qr(X);
    return Matrix<double>(qr.householderQ() * Matrix<double>::Identity(X.rows(), X.cols()));
  };
  std::mt19937_64 urbg(0x10da);
  Matrix<double> sketch(m.cols(), width);
  // Sums of uniform numbers are as good as Gaussian ones here, and the same on every platform.
  Matrix<double> part(m.cols(), width);
  sketch.setZero();
  for (int i = 0; i < 4; ++i) {
    fill_uniform(
        MatrixView<double>(part.data(), part.rows(), part.cols(), std::max<Index>(1, part.rows())),
        1.0, urbg);
    sketch += part;
  }
  Matrix<double> Q = orthonormal(m * sketch);
  for (int i = 0; i < iterations; ++i) {
    const Matrix<double> Z = orthonormal(m.transpose() * Q);
    Q = orthonormal(m * Z);
  }
  const Matrix<double> small = Q.transpose() * m;
  const Eigen::BDCSVD<Matrix<double>> svd(small, Eigen::ComputeThinU | Eigen::ComputeThinV);
  const Index kept = std::min(r, width);
  result.U = Q * svd.matrixU().leftCols(kept);
  result.sigma = svd.singularValues().head(kept);
  result.V = svd.matrixV().leftCols(kept);
  const double all = m.norm();
  if (all > 0.0) {
    const Matrix<double> left = m - result.U * (result.sigma.asDiagonal() * result.V.transpose());
    result.residual = left.norm() / all;
  }
  return result;
}

}  // namespace lorma::inline LORMA_ABI

#endif
