// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_SINGULAR_VALUES_HPP
#define LORMA_ANALYSIS_SINGULAR_VALUES_HPP

/// Singular values of any dense matrix, computed in double whatever the matrix is stored in.

#include <cmath>
#include <limits>

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/core/decompositions.hpp"

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

/// The power of two that the largest entry of a finite matrix is 1 to 2 times of; 1 for a zero or
/// empty one. M divided by it is not rounded (but where it underflows), and its squares neither
/// overflow nor vanish.
inline double unit_of(const Matrix<double>& m) {
  const double size = m.size() == 0 ? 0.0 : m.cwiseAbs().maxCoeff();
  return size > 0.0 ? std::ldexp(1.0, std::ilogb(size)) : 1.0;
}

/// Without LAPACK, up to this size by Jacobi's method.
inline constexpr Index most_for_jacobi = 128;

/// The singular values of a matrix of m x n numbers from a decomposition in double are within
/// this many times sigma_1 of the exact ones. Backward errors of decompositions are known as p(m,
/// n) u with a modest p; this p is more than twice what search has found (tests/attack).
/// Eigen 3.4's divide and conquer has no such bound: errors of 1e-9 sigma_1 were seen.
inline double svd_error(Index m, Index n) {
#ifndef LORMA_WITH_LAPACKE
  if (std::min(m, n) > most_for_jacobi) return std::numeric_limits<double>::infinity();
#endif
  return 8.0 * static_cast<double>(std::max(m, n)) * 0x1p-53;
}

/// Those of a finite matrix whose unit is 1, descending; destroys its argument. A template, so only
/// callers pay its compile time.
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
  if (count <= most_for_jacobi) return lorma::detail::singular_values_by_jacobi(m);
  return lorma::detail::singular_values_by_division(m);
#endif
}

#ifdef LORMA_COMPILED
extern template Eigen::VectorXd singular_values_of(Matrix<double>&&);
#endif

/// sigma, descending, of M / unit.
struct Spectrum {
  Eigen::VectorXd sigma;
  double unit = 1.0;
};

/// All that does not depend on the size of M follows from sigma, whatever its size. Throws
/// NonFinite.
template <typename Derived>
Spectrum spectrum_of(std::string_view function, const Eigen::DenseBase<Derived>& m) {
  Matrix<double> copy = finite_copy(function, m);
  const double unit = unit_of(copy);
  copy /= unit;
  return {singular_values_of(std::move(copy)), unit};
}

}  // namespace detail

/// The min(m, n) singular values, descending; none for an empty matrix, infinite beyond the range
/// of double. Throws NonFinite. Cost O(m n min(m, n)), a copy in double.
template <typename Derived>
Eigen::VectorXd singular_values(const Eigen::DenseBase<Derived>& m) {
  const detail::Spectrum spectrum = detail::spectrum_of("singular_values", m);
  return spectrum.sigma * spectrum.unit;
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
