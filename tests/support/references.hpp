// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_SUPPORT_REFERENCES_HPP
#define LORMA_TESTS_SUPPORT_REFERENCES_HPP

/// Eigen's decompositions, to compare lorma with. Compiled once for all tests (references.cpp).

#include <lorma/core/types.hpp>

namespace lorma_tests {

/// Descending, by Jacobi's method.
Eigen::VectorXd reference_singular_values(const lorma::Matrix<double>& M);

/// Ascending, of a symmetric matrix.
Eigen::VectorXd reference_eigenvalues(const lorma::Matrix<double>& M);

/// Q of M = Q R, m x min(m, n).
lorma::Matrix<double> orthonormal_columns(const lorma::Matrix<double>& M);

}  // namespace lorma_tests

#endif
