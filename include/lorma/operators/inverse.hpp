// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_INVERSE_HPP
#define LORMA_OPERATORS_INVERSE_HPP

/// P^-1, with the same two actions as Operator, and what a weight loses when it is multiplied by P
/// and then by P^-1.
///
/// P = c I + M with c != 0: the inverse has the same structure (shifted_core.hpp), O(n r^2) in
/// double, then at most twice the cost of P. Every other inflation: LU of P in double, 2/3 n^3
/// flops, 2 n^2 numbers. Both are made on the CPU.

#include <limits>

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/inflation/inflation.hpp"
#include "lorma/operators/dense.hpp"
#include "lorma/operators/factored.hpp"
#include "lorma/operators/largest_singular_value.hpp"
#include "lorma/operators/shifted_core.hpp"

namespace lorma::inline LORMA_ABI {

/// What a weight loses when P is merged into it and undone. Source: docs/mathematics.md, (16).
struct RoundTrip {
  /// kappa, the 2-norm condition number of P or up to a third more; infinite when P is singular to
  /// the precision of double.
  double condition = 1.0;
  /// beta, the size of the terms that sum to P, divided by the norm of P: large if factors cancel.
  double growth = 1.0;
  double length = 1.0;      ///< n, the length of the sums
  double arithmetic = 0.0;  ///< epsilon of the type that merge computes in

  /// How large one rounding of the weight, stored in a type with this epsilon, and one of the terms
  /// of P become, relative to the weight. At 1 or more, no digit of a weight in P's worst direction
  /// is left.
  double loss(double epsilon) const {
    return 0.5 * (condition + 1.0) * (epsilon + (1.0 + growth) * arithmetic);
  }
  /// Bound on |W' - W0| / |W0| (Frobenius norms), where W' is W0 merged and unmerged.
  double relative_error(double epsilon) const {
    return (condition + 1.0) *
           (0.5 * epsilon + (2.0 + std::sqrt(length)) * (1.0 + growth) * arithmetic);
  }
};

namespace detail {

/// P^-1 = 1/c I + M', where M' has at most twice the rank of M.
template <typename Inflation>
concept InvertsByStructure = AddsIdentity<Inflation> &&(identity_multiple<Inflation> != 0.0);

/// The part of an inflation that Factored needs.
template <typename Inflation>
struct InverseInflation {
  static constexpr double adds_identity = 1.0 / identity_multiple<Inflation>;
};

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

}  // namespace detail

/// By factorization, on the host. Out may be the input itself.
template <typename Inflation, typename S, typename Backend = EigenCpu>
class Inverse {
 public:
  explicit Inverse(const Factors<S>& f) {
    round_trip_ = {.condition = std::numeric_limits<double>::infinity(),
                   .length = static_cast<double>(f.dim()),
                   .arithmetic = epsilon_of<S>()};
    if constexpr (AddsIdentity<Inflation>) {  // of c = 0: P = M has rank r at most
      if (f.rank() < f.dim()) return;
    }
    Workspace workspace;
    const auto frame = workspace.frame();
    const MatrixView<double> B = workspace.take<double>(f.dim(), f.rank());
    const MatrixView<double> A = workspace.take<double>(f.rank(), f.dim());
    EigenCpu::copy(workspace, f.B, B);
    EigenCpu::copy(workspace, f.A, A);
    const auto scale = static_cast<double>(f.scale);
    const Operator<Dense, Inflation, EigenCpu, double> inflated(workspace, {B, A, scale});
    const auto P = eigen_map<Eigen::RowMajor>(inflated.matrix());
    if (!P.allFinite()) return;
    lu_ = detail::lu<double>(P);
    const double largest = detail::bound_largest_singular_value(
        f.dim(), [&](Eigen::VectorXd& x) { x = P.transpose() * (P * x).eval(); });
    const double inverse = detail::bound_largest_singular_value(f.dim(), [&](Eigen::VectorXd& x) {
      const Matrix<double>& LU = lu_.factors;  // P^-1 P^-T: the order of the rows cancels
      LU.transpose().template triangularView<Eigen::Lower>().solveInPlace(x);
      LU.transpose().template triangularView<Eigen::UnitUpper>().solveInPlace(x);
      LU.template triangularView<Eigen::UnitLower>().solveInPlace(x);
      LU.template triangularView<Eigen::Upper>().solveInPlace(x);
    });
    // A NaN (overflow inside a singular factorization) counts as singular.
    if (!(largest > 0.0 && inverse * largest < round_trip_.condition)) return;
    round_trip_.condition = inverse * largest;
    round_trip_.growth = terms(B, A, scale, P.norm()) / largest;
  }

  const RoundTrip& round_trip() const { return round_trip_; }
  double condition() const { return round_trip_.condition; }  ///< kappa, as RoundTrip says

  /// P^-1, n x n. Only when the condition number is finite. Cost 4/3 n^3.
  Matrix<double> matrix() const {
    const Index n = lu_.factors.rows();
    Matrix<double> inverse = Matrix<double>::Identity(n, n);
    Workspace workspace;
    solve(workspace, view_of(inverse));
    return inverse;
  }

  void apply(Workspace& workspace, const MatrixView<const S>& in, const MatrixView<S>& out) const {
    by_panels(workspace, in, out,
              [&](const MatrixView<double>& columns) { solve(workspace, columns); });
  }
  void apply_adjoint(Workspace& workspace, const MatrixView<const S>& in,
                     const MatrixView<S>& out) const {
    by_panels(workspace, in, out,
              [&](const MatrixView<double>& columns) { solve_adjoint(workspace, columns); });
  }

 private:
  /// Bounds |P| from above, entry by entry in the 2-norm: for a rotation of M, a sum of diagonals
  /// times circulants, whose norms are at most max |b_q| and the sum of |a_q|; otherwise its
  /// Frobenius norm and that of the products that sum to M.
  static double terms(const MatrixView<const double>& B, const MatrixView<const double>& A,
                      double scale, double norm) {
    const auto b = eigen_map<Eigen::ColMajor>(B);
    const auto a = eigen_map<Eigen::ColMajor>(A);
    double sum = 0.0;
    for (Index q = 0; q < A.rows; ++q) {
      sum += TurnsRows<Inflation> ? b.col(q).cwiseAbs().maxCoeff() * a.row(q).cwiseAbs().sum()
                                  : b.col(q).stableNorm() * a.row(q).stableNorm();
    }
    return std::abs(scale) * sum + (TurnsRows<Inflation> ? 0.0 : norm);
  }

  /// X becomes P^-1 X, or P^-T X; column-major.
  void solve(Workspace& workspace, const MatrixView<double>& X) const {
    const auto LU = view_of(lu_.factors);
    permute(workspace, X, true);
    detail::solve_triangular<Eigen::UnitLower>(workspace, LU, X);
    detail::solve_triangular<Eigen::Upper>(workspace, LU, X);
  }
  void solve_adjoint(Workspace& workspace, const MatrixView<double>& X) const {
    const auto LU = view_of(lu_.factors).transposed();
    detail::solve_triangular<Eigen::Lower>(workspace, LU, X);
    detail::solve_triangular<Eigen::UnitUpper>(workspace, LU, X);
    permute(workspace, X, false);
  }
  void permute(Workspace& workspace, const MatrixView<double>& X, bool forwards) const {
    const auto frame = workspace.frame();
    auto* column = workspace.take_array<double>(X.rows);
    if (workspace.rehearsing()) return;
    const auto& to = lu_.rows.indices();
    for (Index j = 0; j < X.cols; ++j) {
      std::copy_n(&X(0, j), X.rows, column);
      for (Index i = 0; i < X.rows; ++i) {
        forwards ? X(to(i), j) = column[i] : X(i, j) = column[to(i)];
      }
    }
  }

  template <typename F>
  static void by_panels(Workspace& workspace, const MatrixView<const S>& in,
                        const MatrixView<S>& out, F&& solve) {
    const Index panel = std::min<Index>(256, in.cols);
    const auto frame = workspace.frame();
    const MatrixView<double> columns = workspace.take<double>(in.rows, panel);
    for (Index j = 0; j < in.cols; j += panel) {
      const Index count = std::min(panel, in.cols - j);
      const MatrixView<double> part = columns.col_range(0, count);
      EigenCpu::copy(workspace, in.col_range(j, count), part);
      solve(part);
      EigenCpu::copy(workspace, as_const(part), out.col_range(j, count));
    }
  }

  detail::Lu<double> lu_;
  RoundTrip round_trip_;
};

/// By structure, in the backend's memory: factors Q ((c I + C)^-1 - I / c) and Q^T rounded to S,
/// or P^-1 itself if Q is square.
template <detail::InvertsByStructure Inflation, typename S, typename Backend>
class Inverse<Inflation, S, Backend> {
  static constexpr double c = identity_multiple<Inflation>;

 public:
  using BackendWorkspace = typename Backend::Workspace;

  explicit Inverse(const Factors<S>& f) requires OnHost<Backend> {
    Workspace workspace;
    make(workspace, {}, f);
  }
  /// Waits for the device.
  Inverse(BackendWorkspace& workspace, const typename Backend::Context& context,
          const Factors<S>& f) {
    make(workspace, context, f);
  }

  const RoundTrip& round_trip() const { return round_trip_; }
  double condition() const { return round_trip_.condition; }  ///< kappa, as RoundTrip says

  void apply(BackendWorkspace& workspace, const MatrixView<const S>& in,
             const MatrixView<S>& out) const {
    if (is_square()) {
      detail::multiply_dense<Backend, S>(workspace, Backend::view(left_), in, out);
    } else {
      factored(workspace).apply(workspace, in, out);
    }
  }
  void apply_adjoint(BackendWorkspace& workspace, const MatrixView<const S>& in,
                     const MatrixView<S>& out) const {
    if (is_square()) {
      detail::multiply_dense<Backend, S>(workspace, Backend::view(left_).transposed(), in, out);
    } else {
      factored(workspace).apply_adjoint(workspace, in, out);
    }
  }

 private:
  void make(BackendWorkspace& workspace, const typename Backend::Context& context,
            const Factors<S>& f) {
    const auto B = Backend::on_host(workspace, f.B);
    const auto A = Backend::on_host(workspace, f.A);
    const ShiftedCore core = shifted_core(Factors<S>{B.view(), A.view(), f.scale}, c);
    // The least that P's smallest singular value may be, with the rounding of the core subtracted.
    const double least = core.smallest - 0x1p-50 * core.terms;
    constexpr double infinity = std::numeric_limits<double>::infinity();
    round_trip_ = {least > 0.0 ? core.largest / least : infinity, core.terms / core.largest,
                   static_cast<double>(f.dim()), epsilon_of<S>()};
    if (!(round_trip_.condition < infinity)) return;
    const auto upload = [&](const Matrix<double>& from, auto& to) {
      Backend::upload(context, Matrix<S>(from.template cast<S>()), to);
    };
    const Matrix<double>& Q = core.basis;
    if (Q.cols() == Q.rows()) return upload(Q * core.inverse * Q.transpose(), left_);
    const Index m = Q.cols();
    upload(Q * (core.inverse - Matrix<double>::Identity(m, m) / c), left_);
    upload(Q.transpose(), right_);
  }
  bool is_square() const { return left_.rows() == left_.cols(); }
  auto factored(BackendWorkspace& workspace) const {
    return Operator<Factored, detail::InverseInflation<Inflation>, Backend, S>(
        workspace, Factors<S>{Backend::view(left_), Backend::view(right_), 1});
  }

  typename Backend::template Matrix<S> left_;
  typename Backend::template Matrix<S> right_;
  RoundTrip round_trip_;
};

/// By factorization, multiplied in device memory: the matrix itself, rounded to S once.
template <typename Inflation, typename S, typename Backend>
requires(!OnHost<Backend> &&
         !detail::InvertsByStructure<Inflation>) class Inverse<Inflation, S, Backend> {
 public:
  using BackendWorkspace = typename Backend::Workspace;

  /// Waits for the device.
  Inverse(BackendWorkspace& workspace, const typename Backend::Context& context,
          const Factors<S>& f) {
    const auto B = Backend::on_host(workspace, f.B);
    const auto A = Backend::on_host(workspace, f.A);
    const Inverse<Inflation, S> inverse(Factors<S>{B.view(), A.view(), f.scale});
    round_trip_ = inverse.round_trip();
    if (!(round_trip_.condition < std::numeric_limits<double>::infinity())) return;
    Backend::upload(context, Matrix<S>(inverse.matrix().template cast<S>()), stored_);
  }

  const RoundTrip& round_trip() const { return round_trip_; }
  double condition() const { return round_trip_.condition; }  ///< kappa, as RoundTrip says

  void apply(BackendWorkspace& workspace, const MatrixView<const S>& in,
             const MatrixView<S>& out) const {
    detail::multiply_dense<Backend, S>(workspace, Backend::view(stored_), in, out);
  }
  void apply_adjoint(BackendWorkspace& workspace, const MatrixView<const S>& in,
                     const MatrixView<S>& out) const {
    detail::multiply_dense<Backend, S>(workspace, Backend::view(stored_).transposed(), in, out);
  }

 private:
  typename Backend::template Matrix<S> stored_;
  RoundTrip round_trip_;
};

}  // namespace lorma::inline LORMA_ABI

#endif
