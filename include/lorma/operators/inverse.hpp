// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_INVERSE_HPP
#define LORMA_OPERATORS_INVERSE_HPP

/// P^-1, with the same two actions as Operator and the condition number that says what it is worth.
///
/// P = c I + M with c != 0: the inverse has the same structure (shifted_core.hpp), O(n r^2) in
/// double, then as cheap as P. Every other inflation: LU of P in double, 2/3 n^3 flops, 2 n^2
/// numbers. Both are made on the CPU.

#include <limits>

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/inflation/inflation.hpp"
#include "lorma/operators/dense.hpp"
#include "lorma/operators/factored.hpp"
#include "lorma/operators/shifted_core.hpp"

namespace lorma::inline LORMA_ABI {

namespace detail {

/// P^-1 = 1/c I + M' with M' of the rank of M.
template <typename Inflation>
concept InvertsByStructure = AddsIdentity<Inflation> &&(identity_multiple<Inflation> != 0.0);

/// As much of an inflation as Factored asks for.
template <typename Inflation>
struct InverseInflation {
  static constexpr double adds_identity = 1.0 / identity_multiple<Inflation>;
};

/// P^-1 as P is: factors (P^-1 s B, A) of scale -1/c.
template <typename Inflation, typename Backend, typename S>
Operator<Factored, InverseInflation<Inflation>, Backend, S> inverse_operator(
    typename Backend::Workspace& workspace, const MatrixView<const S>& inverse_B,
    const MatrixView<const S>& A) {
  constexpr auto scale = static_cast<Accumulator<S>>(-1.0 / identity_multiple<Inflation>);
  return {workspace, Factors<S>{inverse_B, A, scale}};
}

}  // namespace detail

/// By factorization. Out may be the input itself.
template <typename Inflation, typename S>
class Inverse {
 public:
  explicit Inverse(const Factors<S>& f) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if constexpr (AddsIdentity<Inflation>) {  // of c = 0: P = M has rank r at most
      if (f.rank() < f.dim()) {
        condition_ = infinity;
        return;
      }
    }
    Workspace workspace;
    const auto frame = workspace.frame();
    const MatrixView<double> B = workspace.take<double>(f.dim(), f.rank());
    const MatrixView<double> A = workspace.take<double>(f.rank(), f.dim());
    EigenCpu::copy(workspace, f.B, B);
    EigenCpu::copy(workspace, f.A, A);
    const Operator<Dense, Inflation, EigenCpu, double> P(
        workspace, Factors<double>{B, A, static_cast<double>(f.scale)});
    lu_ = detail::lu<double>(eigen_map<Eigen::RowMajor>(P.matrix()));
    const double reciprocal = lu_.reciprocal_condition;
    // A NaN (overflow inside a singular factorization) counts as singular.
    condition_ = reciprocal > 0.0 ? 1.0 / reciprocal : infinity;
  }

  /// 1-norm condition number of P, estimated; infinite when singular.
  double condition() const { return condition_; }

  /// P^-1, n x n. Only when the condition number is finite. Cost 4/3 n^3.
  Matrix<double> matrix() const {
    const Index n = lu_.factors.rows();
    Matrix<double> inverse = Matrix<double>::Identity(n, n);
    lu_.solve(inverse);
    return inverse;
  }

  void apply(Workspace& workspace, const MatrixView<const S>& in, const MatrixView<S>& out) const {
    solve(workspace, in, out, [this](Matrix<double>& x) { lu_.solve(x); });
  }
  void apply_adjoint(Workspace& workspace, const MatrixView<const S>& in,
                     const MatrixView<S>& out) const {
    solve(workspace, in, out, [this](Matrix<double>& x) { lu_.solve_transposed(x); });
  }

 private:
  template <typename F>
  static void solve(Workspace& workspace, const MatrixView<const S>& in, const MatrixView<S>& out,
                    F&& solver) {
    constexpr Index panel = 256;
    Matrix<double> columns;
    for (Index j = 0; j < in.cols; j += panel) {
      const Index count = std::min(panel, in.cols - j);
      columns.resize(in.rows, count);
      EigenCpu::copy(workspace, in.col_range(j, count), view_of(columns));
      solver(columns);
      EigenCpu::copy(workspace, view_of(std::as_const(columns)), out.col_range(j, count));
    }
  }

  detail::Lu<double> lu_;
  double condition_ = 1.0;
};

/// By structure, as the Factored operator of its factors.
template <detail::InvertsByStructure Inflation, typename S>
class Inverse<Inflation, S> {
 public:
  explicit Inverse(const Factors<S>& f)
      : Inverse(f, shifted_core(f, identity_multiple<Inflation>)) {}

  /// 2-norm condition number of P, exact; infinite when singular.
  double condition() const { return condition_; }

  void apply(Workspace& workspace, const MatrixView<const S>& in, const MatrixView<S>& out) const {
    inverse().apply(workspace, in, out);
  }
  void apply_adjoint(Workspace& workspace, const MatrixView<const S>& in,
                     const MatrixView<S>& out) const {
    inverse().apply_adjoint(workspace, in, out);
  }

 private:
  Inverse(const Factors<S>& f, const ShiftedCore& core)
      : A_(f.A), inverse_B_(core.inverse_B.template cast<S>()), condition_(core.condition()) {}

  auto inverse() const {
    Workspace unused;
    return detail::inverse_operator<Inflation, EigenCpu, S>(unused, view_of(inverse_B_), A_);
  }

  MatrixView<const S> A_;
  Matrix<S> inverse_B_;
  double condition_;
};

/// P^-1 in memory of a device, rounded to S once: the matrix itself, or by structure P^-1 s B.
template <typename Inflation, typename Backend, typename S>
class DeviceInverse {
  static constexpr bool by_structure = detail::InvertsByStructure<Inflation>;

 public:
  using DeviceWorkspace = typename Backend::Workspace;

  /// Waits for the device.
  DeviceInverse(DeviceWorkspace& workspace, const typename Backend::Context& context,
                const Factors<S>& f)
      : f_(f) {
    const auto B = Backend::on_host(workspace, f.B);
    const auto A = Backend::on_host(workspace, f.A);
    const Factors<S> host{B.view(), A.view(), f.scale};
    if constexpr (by_structure) {
      const ShiftedCore core = shifted_core(host, identity_multiple<Inflation>);
      condition_ = core.condition();
      if (finite()) upload(context, core.inverse_B);
    } else {
      const Inverse<Inflation, S> inverse(host);
      condition_ = inverse.condition();
      if (finite()) upload(context, inverse.matrix());
    }
  }

  double condition() const { return condition_; }

  void apply(DeviceWorkspace& workspace, const MatrixView<const S>& in,
             const MatrixView<S>& out) const {
    if constexpr (by_structure) {
      factored(workspace).apply(workspace, in, out);
    } else {
      detail::multiply_dense<Backend, S>(workspace, Backend::view(stored_), in, out);
    }
  }
  void apply_adjoint(DeviceWorkspace& workspace, const MatrixView<const S>& in,
                     const MatrixView<S>& out) const {
    if constexpr (by_structure) {
      factored(workspace).apply_adjoint(workspace, in, out);
    } else {
      detail::multiply_dense<Backend, S>(workspace, Backend::view(stored_).transposed(), in, out);
    }
  }

 private:
  bool finite() const { return condition_ < std::numeric_limits<double>::infinity(); }
  void upload(const typename Backend::Context& context, const Matrix<double>& m) {
    Backend::upload(context, Matrix<S>(m.template cast<S>()), stored_);
  }
  auto factored(DeviceWorkspace& workspace) const {
    return detail::inverse_operator<Inflation, Backend, S>(workspace, Backend::view(stored_), f_.A);
  }

  Factors<S> f_;
  typename Backend::template Matrix<S> stored_;
  double condition_ = 1.0;
};

}  // namespace lorma::inline LORMA_ABI

#endif
