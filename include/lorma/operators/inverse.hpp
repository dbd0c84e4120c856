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
#include "lorma/operators/lu_inverse.hpp"
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

/// Bounds |P| from above, entry by entry in the 2-norm: for a rotation of M = s B A, a sum of
/// diagonals times circulants, whose norms are at most max |b_q| and the sum of |a_q|; otherwise
/// its Frobenius norm and that of the products that sum to M.
template <typename Real>
double size_of_terms(const MatrixView<const Real>& B, const MatrixView<const Real>& A, double scale,
                     bool turns_rows, double norm) {
  const auto b = eigen_map<Eigen::ColMajor>(B);
  const auto a = eigen_map<Eigen::ColMajor>(A);
  double sum = 0.0;
  for (Index q = 0; q < A.rows; ++q) {
    sum += turns_rows ? b.col(q).cwiseAbs().maxCoeff() * a.row(q).cwiseAbs().sum()
                      : b.col(q).stableNorm() * a.row(q).stableNorm();
  }
  return std::abs(scale) * sum + (turns_rows ? 0.0 : norm);
}

#ifdef LORMA_COMPILED
extern template double size_of_terms(const MatrixView<const double>&,
                                     const MatrixView<const double>&, double, bool, double);
#endif

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
    lu_ = detail::LuInverse<double>(as_const(inflated.matrix()));
    if (!(lu_.condition() < round_trip_.condition)) return;
    round_trip_.condition = lu_.condition();
    round_trip_.growth = detail::size_of_terms(as_const(B), as_const(A), scale,
                                               TurnsRows<Inflation>, lu_.frobenius()) /
                         lu_.largest();
  }

  const RoundTrip& round_trip() const { return round_trip_; }
  double condition() const { return round_trip_.condition; }  ///< kappa, as RoundTrip says

  /// P^-1, n x n. Only when the condition number is finite. Cost 4/3 n^3.
  Matrix<double> matrix() const { return lu_.matrix(); }

  void apply(Workspace& workspace, const MatrixView<const S>& in, const MatrixView<S>& out) const {
    by_panels(workspace, in, out,
              [&](const MatrixView<double>& columns) { lu_.solve(workspace, columns); });
  }
  void apply_adjoint(Workspace& workspace, const MatrixView<const S>& in,
                     const MatrixView<S>& out) const {
    by_panels(workspace, in, out,
              [&](const MatrixView<double>& columns) { lu_.solve_adjoint(workspace, columns); });
  }

 private:
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

  detail::LuInverse<double> lu_;
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
    const detail::InverseFactors<double> factors =
        detail::inverse_factors(core.basis, core.inverse, c);
    upload(factors.left, left_);
    if (factors.right.size() > 0) upload(factors.right, right_);
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
