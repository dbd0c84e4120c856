// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_INERTIA_HPP
#define LORMA_ANALYSIS_INERTIA_HPP

/// How many eigenvalues of a symmetric matrix are positive, by the signs of a factorization.
///
/// Sylvester's law of inertia: H = L D L^T has as many positive eigenvalues as D has positive
/// numbers. The factorization is not pivoted, so that it is blocked products almost alone; what
/// rounding may have added is bounded afterwards from the factors themselves.

#include <cmath>

#include "lorma/backend/eigen_cpu.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// Counts that hold for a matrix within `error` (in the 2-norm) of the one that was asked for.
struct Inertia {
  Index positive = 0;
  Index negative = 0;
  Index zero = 0;      ///< pivots that are exactly zero or not finite: nothing is known then
  double error = 0.0;  ///< bound of ||L D L^T - H||_2
};

namespace detail {

/// Factors the diagonal block (lower triangle) in place: unit L below, D on the diagonal.
template <typename Real>
void factor_block(const MatrixView<Real>& H) {
  const Index n = H.rows;
  for (Index k = 0; k < n; ++k) {
    const Real pivot = H(k, k);
    for (Index j = k + 1; j < n; ++j) {
      const Real factor = H(j, k) / pivot;
      for (Index i = j; i < n; ++i) H(i, j) -= H(i, k) * factor;
    }
    for (Index i = k + 1; i < n; ++i) H(i, k) /= pivot;
  }
}

/// The same by halves, so that nearly all of it is products of large matrices.
template <typename Real>
void factor(Workspace& workspace, const MatrixView<Real>& H) {
  constexpr Index small = 24;
  if (H.rows <= small) return factor_block(H);
  const Index w = H.rows / 2;
  const Index below = H.rows - w;
  const MatrixView<Real> first = H.block(0, 0, w, w);
  factor(workspace, first);
  {
    // X = H_21 L_11^-T is L_21 D_1; both are needed.
    const auto frame = workspace.frame();
    const MatrixView<Real> panel = H.block(w, 0, below, w);
    const auto L = eigen_map<Eigen::ColMajor>(first);
    auto X = eigen_map<Eigen::ColMajor>(panel);
    L.template triangularView<Eigen::UnitLower>()
        .transpose()
        .template solveInPlace<Eigen::OnTheRight>(X);
    const MatrixView<Real> LD = workspace.take<Real>(below, w);
    EigenCpu::copy(workspace, as_const(panel), LD);
    for (Index j = 0; j < w; ++j) {
      const Real reciprocal = Real(1) / first(j, j);
      for (Index i = 0; i < below; ++i) panel(i, j) *= reciprocal;
    }
    // The lower triangle of the rest, by stripes of columns.
    constexpr Index width = 192;
    for (Index j = 0; j < below; j += width) {
      const Index count = std::min(width, below - j);
      EigenCpu::gemm(workspace, Real(-1), as_const(LD.block(j, 0, below - j, w)),
                     as_const(panel.block(j, 0, count, w).transposed()), Real(1),
                     H.block(w + j, w + j, below - j, count));
    }
  }
  factor(workspace, H.block(w, w, below, below));
}

}  // namespace detail

/// Inertia of the symmetric H (p x p, column-major, lower triangle), which is overwritten.
/// Cost p^3 / 3 flops, a workspace of p^2 / 4 numbers. A template, so only callers pay its compile
/// time.
template <typename Real>
Inertia inertia_in_place(Workspace& workspace, const MatrixView<Real>& H) {
  const Index p = H.rows;
  if (p == 0) return {};
  detail::factor(workspace, H);
  Inertia result;
  for (Index k = 0; k < p; ++k) {
    const Real pivot = H(k, k);
    if (!std::isfinite(pivot) || pivot == Real(0)) {
      ++result.zero;
    } else {
      ++(pivot > Real(0) ? result.positive : result.negative);
    }
  }
  // Higham, Accuracy and Stability of Numerical Algorithms, section 11.1: without pivoting the
  // error is 2 gamma_p |L| |D| |L|^T at most; its largest row sum bounds the 2-norm.
  Vector<Real> inner = Vector<Real>::Zero(p);
  Vector<Real> sums = Vector<Real>::Zero(p);
  for (Index k = 0; k < p; ++k) {
    Real column = Real(1);
    for (Index i = k + 1; i < p; ++i) column += std::abs(H(i, k));
    inner(k) = column * std::abs(H(k, k));
    sums(k) += inner(k);
    for (Index i = k + 1; i < p; ++i) sums(i) += std::abs(H(i, k)) * inner(k);
  }
  const double unit = 0x1p-53 * static_cast<double>(p + 2);
  result.error = 2.0 * unit / (1.0 - unit) * static_cast<double>(sums.maxCoeff());
  return result;
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
