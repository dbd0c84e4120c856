// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_SINGULAR_VALUES_HPP
#define LORMA_ANALYSIS_SINGULAR_VALUES_HPP

/// Singular values of any dense matrix, computed in double whatever the matrix is stored in.

#include <cmath>
#include <limits>
#include <utility>

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/core/decompositions.hpp"

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
template <typename Derived, typename Real = DoubleFor<Derived>>
Matrix<Real> finite_copy(std::string_view function, const Eigen::DenseBase<Derived>& m) {
  Matrix<Real> copy = m.derived().template cast<Real>();
  if (!copy.allFinite()) throw_non_finite(function, m.rows(), m.cols());
  return copy;
}

/// The power of two that the largest entry of a finite matrix is 1 to 2 times of; 1 for a zero or
/// empty one. M divided by it is not rounded (but where it underflows), and its squares neither
/// overflow nor vanish.
template <typename Real>
double unit_of(const Matrix<Real>& m) {
  const double size = m.size() == 0 ? 0.0 : m.cwiseAbs().maxCoeff();
  return size > 0.0 ? std::ldexp(1.0, std::ilogb(size)) : 1.0;
}

/// The singular values of a matrix of m x n numbers from a decomposition in double are within
/// this many times sigma_1 of the exact ones. Backward errors of decompositions are known as p(m,
/// n) u with a modest p; this p is more than twice what search has found (tests/attack).
/// Eigen 3.4's divide and conquer has no such bound: errors of 1e-9 sigma_1 were seen.
inline double svd_error(Index m, Index n) {
#ifndef LORMA_WITH_LAPACKE
  using lorma::detail::most_for_jacobi;
  if (std::min(m, n) > most_for_jacobi) return std::numeric_limits<double>::infinity();
#endif
  return 8.0 * static_cast<double>(std::max(m, n)) * 0x1p-53;
}

/// sigma, descending, of M / unit.
struct Spectrum {
  Eigen::VectorXd sigma;
  double unit = 1.0;

  Eigen::VectorXd singular_values() && {  ///< of M
    sigma *= unit;
    return std::move(sigma);
  }
};

/// All that does not depend on the size of M follows from sigma, whatever its size. Throws
/// NonFinite.
template <typename Derived>
Spectrum spectrum_of(std::string_view function, const Eigen::DenseBase<Derived>& m) {
  auto copy = finite_copy(function, m);
  const double unit = unit_of(copy);
  copy /= unit;
  return {lorma::detail::singular_values_in_place(std::move(copy)), unit};
}

}  // namespace detail

/// The min(m, n) singular values, descending; none for an empty matrix, infinite beyond the range
/// of double. Throws NonFinite. Cost O(m n min(m, n)), a copy in double.
template <typename Derived>
Eigen::VectorXd singular_values(const Eigen::DenseBase<Derived>& m) {
  return detail::spectrum_of("singular_values", m).singular_values();
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
