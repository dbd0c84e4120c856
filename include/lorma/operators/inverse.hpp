// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_INVERSE_HPP
#define LORMA_OPERATORS_INVERSE_HPP

/// P^-1, with the same two actions as Operator and the condition number that says what it is worth.
///
/// Identity: P^-1 = I - s (P^-1 B) A is again a LoRMA+ operator (Woodbury); O(n r^2) in double,
/// then as cheap as P. Every other inflation: LU of P in double, 2/3 n^3 flops, 2 n^2 numbers. Both
/// are made on the CPU.

#include <Eigen/LU>
#include <limits>

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/inflation/identity.hpp"
#include "lorma/operators/dense.hpp"
#include "lorma/operators/factored.hpp"
#include "lorma/operators/identity_core.hpp"

namespace lorma::inline LORMA_ABI {

/// By factorization. Out may be the input itself.
template <typename Inflation, typename S>
class Inverse {
 public:
  explicit Inverse(const Factors<S>& f) {
    constexpr double infinity = std::numeric_limits<double>::infinity();
    if constexpr (requires { requires !Inflation::adds_identity; }) {
      // P = M has rank r at most.
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
    lu_.compute(eigen_map<Eigen::RowMajor>(P.matrix()));
    const double reciprocal = lu_.rcond();
    // A NaN (overflow inside a singular factorization) counts as singular.
    condition_ = reciprocal > 0.0 ? 1.0 / reciprocal : infinity;
  }

  /// 1-norm condition number of P, estimated; infinite when singular.
  double condition() const { return condition_; }

  /// P^-1, n x n. Only when the condition number is finite. Cost 4/3 n^3.
  Matrix<double> matrix() const { return lu_.inverse(); }

  void apply(Workspace& workspace, const MatrixView<const S>& in, const MatrixView<S>& out) const {
    solve(workspace, in, out, [this](const auto& x) { return lu_.solve(x).eval(); });
  }
  void apply_adjoint(Workspace& workspace, const MatrixView<const S>& in,
                     const MatrixView<S>& out) const {
    solve(workspace, in, out, [this](const auto& x) { return lu_.transpose().solve(x).eval(); });
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
      const Matrix<double> solution = solver(columns);
      EigenCpu::copy(workspace, view_of(solution), out.col_range(j, count));
    }
  }

  Eigen::PartialPivLU<Matrix<double>> lu_;
  double condition_ = 1.0;
};

/// By structure: the Factored operator of (-P^-1 B, A).
template <typename S>
class Inverse<Identity, S> {
 public:
  explicit Inverse(const Factors<S>& f) : Inverse(f, identity_core(f)) {}

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
  Inverse(const Factors<S>& f, const IdentityCore& core)
      : f_(f), inverse_B_(core.inverse_B.template cast<S>()), condition_(core.condition()) {}

  Operator<Factored, Identity, EigenCpu, S> inverse() const {
    Workspace unused;
    return {unused, Factors<S>{view_of(inverse_B_), f_.A, -f_.scale}};
  }

  Factors<S> f_;
  Matrix<S> inverse_B_;
  double condition_;
};

/// P^-1 in memory of a device, rounded to S once: the matrix itself, and for Identity the factor
/// P^-1 B.
template <typename Inflation, typename Backend, typename S>
class DeviceInverse {
  static constexpr bool by_structure = std::is_same_v<Inflation, Identity>;

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
      const IdentityCore core = identity_core(host);
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
  Operator<Factored, Identity, Backend, S> factored(DeviceWorkspace& workspace) const {
    return {workspace, Factors<S>{Backend::view(stored_), f_.A, -f_.scale}};
  }

  Factors<S> f_;
  typename Backend::template Matrix<S> stored_;
  double condition_ = 1.0;
};

}  // namespace lorma::inline LORMA_ABI

#endif
