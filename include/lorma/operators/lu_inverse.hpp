// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_LU_INVERSE_HPP
#define LORMA_OPERATORS_LU_INVERSE_HPP

/// P^-1 of a dense P by LU with partial pivoting, multiplied without being formed, and the
/// condition number of P. On the CPU; Real is double, a parameter so that only callers pay its
/// compile time.

#include <limits>

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/operators/largest_singular_value.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// X becomes T^-1 X for a triangular T (n x n), by blocks of rows: the products, which are nearly
/// all the work, are the backend's. Takes memory only from the workspace.
template <unsigned Shape, typename Real>
void solve_triangular(Workspace& workspace, const MatrixView<const Real>& T,
                      const MatrixView<Real>& X) {
  constexpr Index block = 64;  // whose solver keeps its buffers on the stack
  constexpr bool lower = (Shape & Eigen::Lower) != 0;
  const Index n = T.rows;
  const Index blocks = (n + block - 1) / block;
  for (Index b = 0; b < blocks; ++b) {
    const Index i = (lower ? b : blocks - 1 - b) * block;
    const Index count = std::min(block, n - i);
    const Index first = lower ? 0 : i + count;  // of the rows that are solved
    const Index solved = lower ? i : n - first;
    const MatrixView<Real> part = X.row_range(i, count);
    EigenCpu::gemm(workspace, Real(-1), T.block(i, first, count, solved),
                   as_const(X.row_range(first, solved)), Real(1), part);
    if (workspace.rehearsing()) continue;
    auto x = eigen_map<Eigen::ColMajor>(part);
    visit_eigen(T.block(i, i, count, count),
                [&](const auto& t) { t.template triangularView<Shape>().solveInPlace(x); });
  }
}

/// The factors of P, and what is known of P from them. Source of the condition:
/// docs/mathematics.md, (16).
template <typename Real>
class LuInverse {
 public:
  /// Of no matrix: condition() is infinite.
  LuInverse() = default;
  /// Of P (n x n, row-major). Cost 2/3 n^3 + 192 n^2 flops; 2 n^2 numbers, of which n^2 are kept.
  explicit LuInverse(const MatrixView<const Real>& P);

  /// kappa in the 2-norm, or up to a third more; infinite when P is not finite, or singular to the
  /// precision of double. Then there is no P^-1, and the functions below are not to be called.
  double condition() const { return condition_; }
  double largest() const { return largest_; }      ///< |P| in the 2-norm, or up to 16 % more
  double frobenius() const { return frobenius_; }  ///< the Frobenius norm of P

  /// X becomes P^-1 X, or P^-T X; column-major, n x b. Cost 2 n^2 b.
  void solve(Workspace& workspace, const MatrixView<Real>& X) const;
  void solve_adjoint(Workspace& workspace, const MatrixView<Real>& X) const;
  /// P^-1, n x n. Cost 4/3 n^3.
  Matrix<Real> matrix() const;

 private:
  void permute(Workspace& workspace, const MatrixView<Real>& X, bool forwards) const;

  Lu<Real> lu_;
  double condition_ = std::numeric_limits<double>::infinity();
  double largest_ = 0.0;
  double frobenius_ = 0.0;
};

template <typename Real>
LuInverse<Real>::LuInverse(const MatrixView<const Real>& P) {
  const auto p = eigen_map<Eigen::RowMajor>(P);
  if (!p.allFinite()) return;
  frobenius_ = p.norm();
  lu_ = lu<Real>(p);
  const Matrix<Real>& LU = lu_.factors;
  largest_ = bound_largest_singular_value<Real>(
      P.rows, [&](Vector<Real>& x) { x = p.transpose() * (p * x).eval(); });
  const double inverse = bound_largest_singular_value<Real>(P.rows, [&](Vector<Real>& x) {
    // P^-1 P^-T: the order of the rows cancels.
    LU.transpose().template triangularView<Eigen::Lower>().solveInPlace(x);
    LU.transpose().template triangularView<Eigen::UnitUpper>().solveInPlace(x);
    LU.template triangularView<Eigen::UnitLower>().solveInPlace(x);
    LU.template triangularView<Eigen::Upper>().solveInPlace(x);
  });
  // A NaN (overflow inside a singular factorization) counts as singular.
  if (largest_ > 0.0 && inverse * largest_ < condition_) condition_ = inverse * largest_;
}

template <typename Real>
void LuInverse<Real>::solve(Workspace& workspace, const MatrixView<Real>& X) const {
  const auto LU = view_of(lu_.factors);
  permute(workspace, X, true);
  solve_triangular<Eigen::UnitLower>(workspace, LU, X);
  solve_triangular<Eigen::Upper>(workspace, LU, X);
}

template <typename Real>
void LuInverse<Real>::solve_adjoint(Workspace& workspace, const MatrixView<Real>& X) const {
  const auto LU = view_of(lu_.factors).transposed();
  solve_triangular<Eigen::Lower>(workspace, LU, X);
  solve_triangular<Eigen::UnitUpper>(workspace, LU, X);
  permute(workspace, X, false);
}

template <typename Real>
void LuInverse<Real>::permute(Workspace& workspace, const MatrixView<Real>& X,
                              bool forwards) const {
  const auto frame = workspace.frame();
  auto* column = workspace.take_array<Real>(X.rows);
  if (workspace.rehearsing()) return;
  const auto& to = lu_.rows.indices();
  for (Index j = 0; j < X.cols; ++j) {
    std::copy_n(&X(0, j), X.rows, column);
    for (Index i = 0; i < X.rows; ++i) {
      forwards ? X(to(i), j) = column[i] : X(i, j) = column[to(i)];
    }
  }
}

template <typename Real>
Matrix<Real> LuInverse<Real>::matrix() const {
  const Index n = lu_.factors.rows();
  Matrix<Real> inverse = Matrix<Real>::Identity(n, n);
  Workspace workspace;
  solve(workspace, view_of(inverse));
  return inverse;
}

#ifdef LORMA_COMPILED
extern template class LuInverse<double>;
#endif

}  // namespace lorma::inline LORMA_ABI::detail

#endif
