// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_LAPACK_HPP
#define LORMA_CORE_LAPACK_HPP

/// LAPACK's decompositions in double on lorma's matrices, for decompositions.hpp. Needs LAPACKE
/// (LORMA_WITH_LAPACKE). Templates, so that only callers pay; Real is double.
///
/// Each routine gets its workspace from here, since LAPACKE's own calls would read every matrix
/// once more for NaN. A routine that fails throws BackendError.

#include <lapacke.h>

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>

#include "lorma/core/error.hpp"
#include "lorma/core/types.hpp"

namespace lorma::inline LORMA_ABI::detail::lapack {

/// Throws BackendError unless `info` is 0.
inline void check(std::string_view routine, lapack_int info) {
  if (info == 0) return;
  throw BackendError("lorma: LAPACK's " + std::string(routine) +
                     (info > 0 ? " did not converge (" : " refused its arguments (") +
                     std::to_string(info) + ")");
}

inline lapack_int size(Index n) {
  return static_cast<lapack_int>(n);
}
/// LAPACK wants a leading dimension of 1 even for no rows.
inline lapack_int stride(Index rows) {
  return static_cast<lapack_int>(std::max<Index>(rows, 1));
}

/// Calls routine(memory, numbers) with as much memory as it asks for when told that there is none.
template <typename Real, typename Routine>
void with_workspace(std::string_view name, const Routine& routine) {
  Real wanted = 0;
  check(name, routine(&wanted, -1));
  Vector<Real> work(std::max<Index>(1, static_cast<Index>(wanted)));
  check(name, routine(work.data(), size(work.size())));
}

/// M becomes R, with the reflections that make Q below it and their coefficients in the result.
template <typename Real>
Vector<Real> qr_in_place(Eigen::Ref<Matrix<Real>> M) {
  Vector<Real> coefficients(std::min(M.rows(), M.cols()));
  with_workspace<Real>("dgeqrf", [&](Real* work, lapack_int length) {
    return LAPACKE_dgeqrf_work(LAPACK_COL_MAJOR, size(M.rows()), size(M.cols()), M.data(),
                               stride(M.outerStride()), coefficients.data(), work, length);
  });
  return coefficients;
}

/// The reflections of qr_in_place become the columns of Q.
template <typename Real>
void reflections_to_q(Matrix<Real>& M, const Vector<Real>& coefficients) {
  with_workspace<Real>("dorgqr", [&](Real* work, lapack_int length) {
    return LAPACKE_dorgqr_work(LAPACK_COL_MAJOR, size(M.rows()), size(M.cols()),
                               size(coefficients.size()), M.data(), stride(M.rows()),
                               coefficients.data(), work, length);
  });
}

/// M becomes L and U of P M = L U; returns P. An exact zero on the diagonal of U is no failure.
template <typename Real>
Eigen::PermutationMatrix<Eigen::Dynamic> lu_in_place(Matrix<Real>& M) {
  Eigen::Matrix<lapack_int, Eigen::Dynamic, 1> swaps(M.rows());
  const lapack_int info = LAPACKE_dgetrf_work(LAPACK_COL_MAJOR, size(M.rows()), size(M.cols()),
                                              M.data(), stride(M.rows()), swaps.data());
  check("dgetrf", std::min<lapack_int>(info, 0));
  Eigen::PermutationMatrix<Eigen::Dynamic> rows(M.rows());
  rows.setIdentity();
  for (Index i = M.rows(); i-- > 0;) rows.applyTranspositionOnTheRight(i, swaps(i) - 1);
  return rows;
}

/// The lower triangle of M becomes L of M = L L^T; returns an estimate of 1 / condition in the
/// 1-norm, or 0 where M is not positive definite.
template <typename Real>
Real cholesky_in_place(Matrix<Real>& M) {
  const lapack_int n = size(M.rows());
  Vector<Real> work(3 * M.rows() + 1);
  const Real norm =
      LAPACKE_dlansy_work(LAPACK_COL_MAJOR, '1', 'L', n, M.data(), stride(n), work.data());
  const lapack_int info = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'L', n, M.data(), stride(n));
  check("dpotrf", std::min<lapack_int>(info, 0));
  if (info > 0) return 0;
  Eigen::Matrix<lapack_int, Eigen::Dynamic, 1> more(M.rows() + 1);
  Real reciprocal = 0;
  check("dpocon", LAPACKE_dpocon_work(LAPACK_COL_MAJOR, 'L', n, M.data(), stride(n), norm,
                                      &reciprocal, work.data(), more.data()));
  return reciprocal;
}

/// Singular values of M, which is finite and is destroyed, descending; U and V^T too (m x p, p x n)
/// where they are given, for p up to 23,000: LAPACK counts its memory in 32 bits.
template <typename Real>
Vector<Real> svd_in_place(Matrix<Real>& M, Matrix<Real>* U = nullptr, Matrix<Real>* Vt = nullptr) {
  const Index p = std::min(M.rows(), M.cols());
  Vector<Real> sigma(p);
  Real unused = 0;
  // Its least need and its blocks: p counts, however long the other side is.
  const double numbers = (4.0 * static_cast<double>(p) + 1024.0) * static_cast<double>(p);
  constexpr double most = std::numeric_limits<lapack_int>::max();
  if (!M.allFinite() || (U != nullptr && numbers > most)) {
    throw BackendError(
        "lorma: LAPACK's dgesdd takes finite matrices with a side of at most 23,000, got " +
        shape(M.rows(), M.cols()) + (M.allFinite() ? "" : " with NaN or infinity"));
  }
  if (U != nullptr) U->resize(M.rows(), p);
  if (Vt != nullptr) Vt->resize(p, M.cols());
  Eigen::Matrix<lapack_int, Eigen::Dynamic, 1> more(8 * p + 1);
  with_workspace<Real>("dgesdd", [&](Real* work, lapack_int length) {
    return LAPACKE_dgesdd_work(
        LAPACK_COL_MAJOR, U != nullptr ? 'S' : 'N', size(M.rows()), size(M.cols()), M.data(),
        stride(M.rows()), sigma.data(), U != nullptr ? U->data() : &unused, stride(M.rows()),
        Vt != nullptr ? Vt->data() : &unused, stride(p), work, length, more.data());
  });
  return sigma;
}

/// X of the smallest norm among those that make |M X - Y| smallest, where M (m x n) is finite and
/// counts as one of the largest rank at which the leading block of its triangle has an estimated
/// condition below 1 / `relative`; M is destroyed. Y is m x k with room for n rows, and X comes in
/// its first n.
template <typename Real>
void least_squares_in_place(Matrix<Real>& M, Matrix<Real>& Y, Real relative) {
  Eigen::Matrix<lapack_int, Eigen::Dynamic, 1> pivots =
      Eigen::Matrix<lapack_int, Eigen::Dynamic, 1>::Zero(M.cols());
  lapack_int rank = 0;
  with_workspace<Real>("dgelsy", [&](Real* work, lapack_int length) {
    return LAPACKE_dgelsy_work(LAPACK_COL_MAJOR, size(M.rows()), size(M.cols()), size(Y.cols()),
                               M.data(), stride(M.rows()), Y.data(), stride(Y.rows()),
                               pivots.data(), relative, &rank, work, length);
  });
}

/// `diagonal` becomes the eigenvalues, ascending, of the symmetric matrix with those numbers beside
/// it; returns the vectors.
template <typename Real>
Matrix<Real> eigen_of_tridiagonal_in_place(Vector<Real>& diagonal, Vector<Real> beside) {
  const Index n = diagonal.size();
  Matrix<Real> vectors(n, n);
  Vector<Real> work(2 * n + 1);
  check("dstev", LAPACKE_dstev_work(LAPACK_COL_MAJOR, 'V', size(n), diagonal.data(), beside.data(),
                                    vectors.data(), stride(n), work.data()));
  return vectors;
}

}  // namespace lorma::inline LORMA_ABI::detail::lapack

#endif
