// SPDX-License-Identifier: Apache-2.0
#include "references.hpp"

#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <Eigen/SVD>

namespace lorma_tests {

using lorma::Matrix;

Eigen::VectorXd reference_singular_values(const Matrix<double>& M) {
  return Eigen::JacobiSVD<Matrix<double>>(M).singularValues();
}

Eigen::VectorXd reference_eigenvalues(const Matrix<double>& M) {
  return Eigen::SelfAdjointEigenSolver<Matrix<double>>(M, Eigen::EigenvaluesOnly).eigenvalues();
}

Matrix<double> orthonormal_columns(const Matrix<double>& M) {
  const Eigen::HouseholderQR<Matrix<double>> qr(M);
  return qr.householderQ() * Matrix<double>::Identity(M.rows(), std::min(M.rows(), M.cols()));
}

}  // namespace lorma_tests
