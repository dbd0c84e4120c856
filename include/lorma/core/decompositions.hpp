// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_DECOMPOSITIONS_HPP
#define LORMA_CORE_DECOMPOSITIONS_HPP

/// The dense decompositions that the library is built on, each instantiated in one place.
///
/// All are templates (Real is double), so only callers pay their compile time; with LORMA_COMPILED
/// they are linked from src/decompositions.cpp, and nobody pays for them or for Eigen's modules.

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "lorma/core/error.hpp"
#include "lorma/core/types.hpp"

#if !defined(LORMA_COMPILED) || defined(LORMA_COMPILING_DECOMPOSITIONS)
#define LORMA_DEFINES_DECOMPOSITIONS
#include <Eigen/SVD>
#ifdef LORMA_WITH_LAPACKE
#include "lorma/core/lapack.hpp"
#else
#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <Eigen/QR>
#endif
#endif

namespace lorma::inline LORMA_ABI {

/// sign(det P) and log |det P|; the sign is 0 and the logarithm minus infinity when P is singular.
struct Determinant {
  double sign = 1.0;
  double log_abs = 0.0;
};

namespace detail {

/// M = U diag(sigma) V^T, sigma descending.
template <typename Real>
struct Svd {
  Matrix<Real> U;
  Vector<Real> sigma;
  Matrix<Real> V;
};

/// Rows permuted, L below the diagonal of `factors` (unit), U above: P M = L U.
template <typename Real>
struct Lu {
  Matrix<Real> factors;
  Eigen::PermutationMatrix<Eigen::Dynamic> rows;
  Determinant determinant() const;
};

/// Eigenvalues, ascending, and their vectors.
template <typename Real>
struct EigenPairs {
  Vector<Real> values;
  Matrix<Real> vectors;
};

/// Of an n x n matrix. Cost 2/3 n^3.
template <typename Real>
Lu<Real> lu(const Matrix<Real>& M);

/// L of M = L L^T, of which the lower triangle is read; nothing unless M is positive definite with
/// an estimated 1 / condition above `margin`.
template <typename Real>
std::optional<Matrix<Real>> cholesky(const Matrix<Real>& M, double margin);

/// Q of M = Q R (m x min(m, n)): columns that span those of M, or more if M is rank deficient.
template <typename Real>
Matrix<Real> orthonormal(const Matrix<Real>& M);

/// R of M = Q R (min(m, n) x n): all that norms and singular values of M depend on.
template <typename Real>
Matrix<Real> triangle(const Matrix<Real>& M);

/// R in place of M, m x n: what lies below it is zero, and rows beyond min(m, n) mean nothing. Cost
/// 2 m n^2 for m >= n.
template <typename Real>
void triangle_in_place(Eigen::Ref<Matrix<Real>> M);

/// A matrix with the nonzero singular values of L R, but no larger than r: with QR of L and of
/// R^T, L R = Q_L (R_L R_R^T) Q_R^T. L is m x r, R is r x n; the result is at most r x r.
template <typename Real>
Matrix<Real> compressed_product(const Matrix<Real>& L, const Matrix<Real>& R);

/// Of a finite M whose largest entries are near 1: U is m x p and V n x p, p = min(m, n). Throws
/// BackendError where it does not converge, or where LAPACK's 32 bits do not hold its memory (p
/// beyond 23,000). Cost O(m n p).
template <typename Real>
Svd<Real> thin_svd(const Matrix<Real>& M);

/// The same for a small square M by Jacobi's method, which gives small singular values more
/// exactly.
template <typename Real>
Svd<Real> small_svd(const Matrix<Real>& M);

/// The singular values of such an M by Jacobi's method, and by that of thin_svd.
template <typename Real>
Vector<Real> singular_values_by_jacobi(const Matrix<Real>& M);
template <typename Real>
Vector<Real> singular_values_by_division(const Matrix<Real>& M);

/// Up to this size, Jacobi's method stands in for LAPACK.
inline constexpr Index most_for_jacobi = 128;

/// The min(m, n) singular values of such an M, which is destroyed, descending: by LAPACK where it
/// is, else by Jacobi's method or, beyond most_for_jacobi, by that of thin_svd. Throws BackendError
/// where they do not converge. Cost O(m n min(m, n)).
template <typename Real>
Vector<Real> singular_values_in_place(Matrix<Real>&& M);

/// M^+, n x m of a finite M, m x n, by a complete orthogonal decomposition. Cost O(m n min(m, n)).
template <typename Real>
Matrix<Real> pseudo_inverse(const Matrix<Real>& M);

/// Of the symmetric n x n matrix with that diagonal and that one beside it, one shorter; its
/// largest entries must be near 1, as Eigen takes numbers for zero that are small beside that. NaN
/// where a number is not finite. Cost O(n^3).
template <typename Real>
EigenPairs<Real> eigen_of_tridiagonal(const Vector<Real>& diagonal, const Vector<Real>& beside);

#ifdef LORMA_DEFINES_DECOMPOSITIONS

template <typename Real>
Determinant Lu<Real>::determinant() const {
  Determinant result{static_cast<double>(rows.determinant()), 0.0};
  for (Index i = 0; i < factors.rows(); ++i) {
    const Real pivot = factors(i, i);
    result.sign *= pivot > 0 ? 1.0 : (pivot < 0 ? -1.0 : 0.0);
    result.log_abs += std::log(std::abs(static_cast<double>(pivot)));
  }
  return result;
}

template <typename Real>
Svd<Real> small_svd(const Matrix<Real>& M) {
  const Eigen::JacobiSVD<Matrix<Real>> svd(M, Eigen::ComputeFullU | Eigen::ComputeFullV);
  return {svd.matrixU(), svd.singularValues(), svd.matrixV()};
}

template <typename Real>
Vector<Real> singular_values_by_jacobi(const Matrix<Real>& M) {
  return Eigen::JacobiSVD<Matrix<Real>>(M).singularValues();
}

#ifdef LORMA_WITH_LAPACKE

template <typename Real>
Lu<Real> lu(const Matrix<Real>& M) {
  Lu<Real> result{M, {}};
  result.rows = lapack::lu_in_place(result.factors);
  return result;
}

template <typename Real>
std::optional<Matrix<Real>> cholesky(const Matrix<Real>& M, double margin) {
  Matrix<Real> L = M;
  if (!(lapack::cholesky_in_place(L) > margin)) return std::nullopt;
  return L;
}

template <typename Real>
Matrix<Real> orthonormal(const Matrix<Real>& M) {
  Matrix<Real> Q = M.leftCols(std::min(M.rows(), M.cols()));
  lapack::reflections_to_q<Real>(Q, lapack::qr_in_place<Real>(Q));
  return Q;
}

template <typename Real>
void factor_in_place(Eigen::Ref<Matrix<Real>> M) {
  lapack::qr_in_place<Real>(M);
}

template <typename Real>
Svd<Real> thin_svd(const Matrix<Real>& M) {
  if (M.size() == 0) return {Matrix<Real>(M.rows(), 0), Vector<Real>(0), Matrix<Real>(M.cols(), 0)};
  Svd<Real> result;
  Matrix<Real> copy = M;
  Matrix<Real> Vt;
  result.sigma = lapack::svd_in_place(copy, &result.U, &Vt);
  result.V = Vt.transpose();
  return result;
}

template <typename Real>
Vector<Real> singular_values_by_division(const Matrix<Real>& M) {
  Matrix<Real> copy = M;
  return lapack::svd_in_place(copy);
}

template <typename Real>
Vector<Real> singular_values_in_place(Matrix<Real>&& M) {
  return M.size() == 0 ? Vector<Real>(0) : lapack::svd_in_place(M);
}

template <typename Real>
Matrix<Real> pseudo_inverse(const Matrix<Real>& M) {
  Matrix<Real> copy = M;
  Matrix<Real> inverse = Matrix<Real>::Identity(std::max(M.rows(), M.cols()), M.rows());
  constexpr auto u = static_cast<Real>(epsilon_of<Real>());
  lapack::least_squares_in_place(copy, inverse,
                                 u * static_cast<Real>(std::min(M.rows(), M.cols())));
  return inverse.topRows(M.cols());
}

template <typename Real>
EigenPairs<Real> eigen_of_finite_tridiagonal(const Vector<Real>& diagonal,
                                             const Vector<Real>& beside) {
  EigenPairs<Real> result{diagonal, {}};
  result.vectors = lapack::eigen_of_tridiagonal_in_place<Real>(result.values, beside);
  return result;
}

#else

template <typename Real>
Lu<Real> lu(const Matrix<Real>& M) {
  const Eigen::PartialPivLU<Matrix<Real>> lu(M);
  return {lu.matrixLU(), lu.permutationP()};
}

template <typename Real>
std::optional<Matrix<Real>> cholesky(const Matrix<Real>& M, double margin) {
  const Eigen::LLT<Matrix<Real>> llt(M);
  if (llt.info() != Eigen::Success || !(llt.rcond() > margin)) return std::nullopt;
  return llt.matrixLLT();
}

template <typename Real>
Matrix<Real> orthonormal(const Matrix<Real>& M) {
  const Eigen::HouseholderQR<Matrix<Real>> qr(M);
  return qr.householderQ() * Matrix<Real>::Identity(M.rows(), std::min(M.rows(), M.cols()));
}

template <typename Real>
void factor_in_place(Eigen::Ref<Matrix<Real>> M) {
  const Eigen::HouseholderQR<Eigen::Ref<Matrix<Real>>> in_place(M);
}

/// Numbers too small to affect any rounding are dropped: they make Eigen 3.4 run past its arrays.
template <typename Real>
Eigen::BDCSVD<Matrix<Real>> divided_svd(const Matrix<Real>& M, unsigned wanted) {
  constexpr double unseen = 0x1p-800;
  const auto seen = [](Real x) { return std::abs(x) < unseen ? Real(0) : x; };
  Eigen::BDCSVD<Matrix<Real>> svd(M.unaryExpr(seen), wanted);
  if (svd.info() == Eigen::Success) return svd;
  throw BackendError("lorma: the singular value decomposition did not converge");
}

template <typename Real>
Svd<Real> thin_svd(const Matrix<Real>& M) {
  if (M.size() == 0) return {Matrix<Real>(M.rows(), 0), Vector<Real>(0), Matrix<Real>(M.cols(), 0)};
  const auto svd = divided_svd(M, Eigen::ComputeThinU | Eigen::ComputeThinV);
  return {svd.matrixU(), svd.singularValues(), svd.matrixV()};
}

template <typename Real>
Vector<Real> singular_values_by_division(const Matrix<Real>& M) {
  return divided_svd(M, 0).singularValues();
}

template <typename Real>
Vector<Real> singular_values_in_place(Matrix<Real>&& M) {
  const Index count = std::min(M.rows(), M.cols());
  if (count == 0) return Vector<Real>(0);
  return count <= most_for_jacobi ? singular_values_by_jacobi(M) : singular_values_by_division(M);
}

template <typename Real>
Matrix<Real> pseudo_inverse(const Matrix<Real>& M) {
  return M.completeOrthogonalDecomposition().pseudoInverse();
}

template <typename Real>
EigenPairs<Real> eigen_of_finite_tridiagonal(const Vector<Real>& diagonal,
                                             const Vector<Real>& beside) {
  Eigen::SelfAdjointEigenSolver<Matrix<Real>> solver;
  solver.computeFromTridiagonal(diagonal, beside);
  return {solver.eigenvalues(), solver.eigenvectors()};
}

#endif

template <typename Real>
EigenPairs<Real> eigen_of_tridiagonal(const Vector<Real>& diagonal, const Vector<Real>& beside) {
  if (diagonal.allFinite() && beside.allFinite()) {
    return eigen_of_finite_tridiagonal(diagonal, beside);
  }
  const Index n = diagonal.size();
  constexpr Real nan = std::numeric_limits<Real>::quiet_NaN();
  return {Vector<Real>::Constant(n, nan), Matrix<Real>::Constant(n, n, nan)};
}

template <typename Real>
void triangle_in_place(Eigen::Ref<Matrix<Real>> M) {
  factor_in_place<Real>(M);
  const Index p = std::min(M.rows(), M.cols());
  for (Index j = 0; j < p; ++j) {
    M.col(j).segment(j + 1, p - j - 1).setZero();  // where reflections were
  }
}

template <typename Real>
Matrix<Real> triangle(const Matrix<Real>& M) {
  Matrix<Real> R = M;
  triangle_in_place<Real>(R);
  R.conservativeResize(std::min(M.rows(), M.cols()), M.cols());
  return R;
}

template <typename Real>
Matrix<Real> compressed_product(const Matrix<Real>& L, const Matrix<Real>& R) {
  return triangle(L) * triangle<Real>(R.transpose()).transpose();
}

#undef LORMA_DEFINES_DECOMPOSITIONS
#endif

#ifdef LORMA_COMPILED
extern template struct Lu<double>;
extern template Lu<double> lu(const Matrix<double>&);
extern template std::optional<Matrix<double>> cholesky(const Matrix<double>&, double);
extern template Matrix<double> orthonormal(const Matrix<double>&);
extern template Matrix<double> triangle(const Matrix<double>&);
extern template void triangle_in_place<double>(Eigen::Ref<Matrix<double>>);
extern template Matrix<double> compressed_product(const Matrix<double>&, const Matrix<double>&);
extern template Svd<double> thin_svd(const Matrix<double>&);
extern template Svd<double> small_svd(const Matrix<double>&);
extern template Vector<double> singular_values_by_jacobi(const Matrix<double>&);
extern template Vector<double> singular_values_by_division(const Matrix<double>&);
extern template Vector<double> singular_values_in_place(Matrix<double>&&);
extern template Matrix<double> pseudo_inverse(const Matrix<double>&);
extern template EigenPairs<double> eigen_of_tridiagonal(const Vector<double>&,
                                                        const Vector<double>&);
#endif

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI

#endif
