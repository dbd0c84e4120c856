// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_SINGULAR_VALUES_HPP
#define LORMA_ANALYSIS_SINGULAR_VALUES_HPP

/// Singular values of any dense matrix, computed in double whatever the matrix is stored in.

#include <Eigen/SVD>

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/core/error.hpp"

#ifdef LORMA_WITH_LAPACKE
#include <lapacke.h>

#include <vector>
#endif

namespace lorma::inline LORMA_ABI::analysis {

namespace detail {

[[noreturn]] inline void throw_non_finite(std::string_view function, Index rows, Index cols) {
  throw NonFinite("lorma::analysis::" + std::string(function) +
                  ": expected finite numbers, got NaN or infinity in a matrix of " +
                  lorma::detail::shape(rows, cols));
}

/// Throws NonFinite for NaN or infinity.
template <typename Derived>
void check_finite(std::string_view function, const Eigen::DenseBase<Derived>& m) {
  Workspace unused;
  Door<EigenCpu> door(function, unused);
  const auto operand = door.read<typename Derived::Scalar>("the matrix", m);
  if (!EigenCpu::is_finite(unused, operand.view())) throw_non_finite(function, m.rows(), m.cols());
}

/// A copy in double; throws NonFinite for NaN or infinity.
template <typename Derived>
Matrix<double> finite_copy(std::string_view function, const Eigen::DenseBase<Derived>& m) {
  Matrix<double> copy = m.derived().template cast<double>();
  if (!copy.allFinite()) throw_non_finite(function, m.rows(), m.cols());
  return copy;
}

/// Descending; destroys its argument. A template, so only callers pay its compile time.
template <typename Real>
Eigen::VectorXd singular_values_of(Matrix<Real>&& m) {
  const Index count = std::min(m.rows(), m.cols());
  if (count == 0) return Eigen::VectorXd(0);
#ifdef LORMA_WITH_LAPACKE
  Eigen::VectorXd sigma(count);
  double unused = 0.0;
  const auto rows = static_cast<lapack_int>(m.rows());
  const auto cols = static_cast<lapack_int>(m.cols());
  const lapack_int info = LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', rows, cols, m.data(), rows,
                                         sigma.data(), &unused, 1, &unused, 1);
  if (info == 0) return sigma;
  throw BackendError("lorma::analysis::singular_values: LAPACK dgesdd did not converge (info " +
                     std::to_string(info) + ")");
#else
  return Eigen::BDCSVD<Matrix<Real>>(m).singularValues();
#endif
}

#ifdef LORMA_COMPILED
extern template Eigen::VectorXd singular_values_of(Matrix<double>&&);
#endif

}  // namespace detail

/// The min(m, n) singular values, descending; none for an empty matrix. Throws NonFinite.
/// Cost O(m n min(m, n)), a copy in double.
template <typename Derived>
Eigen::VectorXd singular_values(const Eigen::DenseBase<Derived>& m) {
  return detail::singular_values_of(detail::finite_copy("singular_values", m));
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
