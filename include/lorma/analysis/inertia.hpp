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

/// Terms that one product sums; more are cut into several, so that its rounding does not grow with
/// their number.
inline constexpr Index most_terms = 256;

/// C -= X Y^T.
template <typename Real>
void subtract_product(Workspace& workspace, const MatrixView<const Real>& X,
                      const MatrixView<const Real>& Y, const MatrixView<Real>& C) {
  for (Index k = 0; k < X.cols; k += most_terms) {
    const Index count = std::min(most_terms, X.cols - k);
    EigenCpu::gemm(workspace, Real(-1), X.block(0, k, X.rows, count),
                   Y.block(0, k, Y.rows, count).transposed(), Real(1), C);
  }
}

/// X = X L^-T for the unit lower triangle of L.
template <typename Real>
void divide_by(Workspace& workspace, const MatrixView<Real>& L, const MatrixView<Real>& X) {
  constexpr Index small = 64;
  if (L.rows <= small) {
    const auto l = eigen_map<Eigen::ColMajor>(L);
    auto x = eigen_map<Eigen::ColMajor>(X);
    l.template triangularView<Eigen::UnitLower>()
        .transpose()
        .template solveInPlace<Eigen::OnTheRight>(x);
    return;
  }
  const Index w = L.rows / 2;
  const Index rest = L.rows - w;
  const MatrixView<Real> left = X.block(0, 0, X.rows, w);
  const MatrixView<Real> right = X.block(0, w, X.rows, rest);
  divide_by(workspace, L.block(0, 0, w, w), left);
  subtract_product(workspace, as_const(left), as_const(L.block(w, 0, rest, w)), right);
  divide_by(workspace, L.block(w, w, rest, rest), right);
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
    divide_by(workspace, first, panel);
    const MatrixView<Real> LD = workspace.take<Real>(below, w);
    EigenCpu::copy(workspace, as_const(panel), LD);
    for (Index j = 0; j < w; ++j) {
      const Real reciprocal = Real(1) / first(j, j);
      for (Index i = 0; i < below; ++i) panel(i, j) *= reciprocal;
    }
    // The lower triangle of the rest, by stripes of columns.
    constexpr Index width = 96;
    for (Index j = 0; j < below; j += width) {
      const Index count = std::min(width, below - j);
      subtract_product(workspace, as_const(LD.block(j, 0, below - j, w)),
                       as_const(panel.block(j, 0, count, w)),
                       H.block(w + j, w + j, below - j, count));
    }
  }
  factor(workspace, H.block(w, w, below, below));
}

}  // namespace detail

/// Inertia of the symmetric H (p x p, column-major, lower triangle), which is overwritten.
/// Cost p^3 / 3 flops, a workspace of p^2 / 4 numbers. Underflow is not in the bound: H is to be of
/// size 1. A template, so only callers pay its compile time.
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
  // |L D L^T - H| <= c u |L| |D| |L|^T (Higham, Accuracy and Stability of Numerical Algorithms,
  // sections 3.1 and 11.1), whose largest row sum bounds the 2-norm. A number of L D is H's less
  // products that are subtracted one after the other, each summed by itself first. c is the most
  // roundings that a term meets: one for each of the terms it is summed with, at most half of p;
  // one for each subtraction, of 64 terms or more (which allows for a gemm that cuts its own sums),
  // twice a level of halving, and 24 in a block of its own; four for the quotients.
  Vector<Real> inner = Vector<Real>::Zero(p);
  Vector<Real> sums = Vector<Real>::Zero(p);
  for (Index k = 0; k < p; ++k) {
    const auto column = eigen_map<Eigen::ColMajor>(H).col(k).tail(p - k - 1).cwiseAbs();
    inner(k) = (Real(1) + column.sum()) * std::abs(H(k, k));
    sums(k) += inner(k);
    sums.tail(p - k - 1) += inner(k) * column;
  }
  constexpr double unit = 0.5 * epsilon_of<Real>();
  const double levels = std::log2(static_cast<double>(p));
  const auto summed = std::clamp<Index>(p / 2, 64, detail::most_terms);
  const Index blocks = p / 64;
  const double roundings = static_cast<double>(summed + blocks + 32) + 2.0 * levels;
  // A tenth more for the rounding of this very sum, and for products of roundings.
  result.error = 1.1 * unit * roundings * static_cast<double>(sums.maxCoeff());
  return result;
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
