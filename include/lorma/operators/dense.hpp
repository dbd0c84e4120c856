// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_DENSE_HPP
#define LORMA_OPERATORS_DENSE_HPP

/// P = I(s B A) formed once as an n x n view, then multiplied by a general product.
///
/// The rotation of CyclicPermutation is a view with an odd leading dimension, which any gemm takes:
/// no gather, no index table (a backend may prefer a pass that rotates the rows). Cost of b
/// columns: 2 n^2 r to form, 2 n^2 b for apply, 4 n^2 (b + r) for vjp; memory `copies` n^2, and
/// once more during vjp.

#include <algorithm>

#include "lorma/backend/host_memory.hpp"
#include "lorma/inflation/inflation.hpp"
#include "lorma/operators/operator.hpp"

namespace lorma::inline LORMA_ABI {

namespace detail {

/// out = Q X; in place (out is X) by panels of columns.
template <typename Backend, typename S>
void multiply_dense(typename Backend::Workspace& workspace, const MatrixView<const S>& Q,
                    const MatrixView<const S>& X, const MatrixView<S>& out) {
  if (!out.same_place(X)) {
    Backend::gemm(workspace, 1, Q, X, 0, out);
    return;
  }
  const Index panel = Backend::panel_columns(workspace);
  const auto frame = workspace.frame();
  const MatrixView<S> old =
      workspace.template take<S>(X.rows, std::min(panel, X.cols), StorageOrder::ColMajor);
  for (Index j = 0; j < X.cols; j += panel) {
    const Index count = std::min(panel, X.cols - j);
    const MatrixView<S> part = old.col_range(0, count);
    Backend::copy(workspace, X.col_range(j, count), part);
    Backend::gemm(workspace, 1, Q, as_const(part), 0, out.col_range(j, count));
  }
}

}  // namespace detail

/// For every inflation.
template <typename Inflation, typename Backend, typename S>
class Operator<Dense, Inflation, Backend, S> {
  static constexpr Index copies = detail::copies_of<Inflation, Backend, S>();

 public:
  using Workspace = typename Backend::Workspace;

  Operator(Workspace& workspace, const Factors<S>& f) : f_(f) {
    const MatrixView<S> T = take_copies(workspace);
    Backend::gemm(workspace, f.scale, f.B, f.A, 0, T.col_range(0, f.dim()));
    repeat(workspace, T);
    P_ = Inflation::template inflate<Backend, S>(workspace, T);
  }

  /// The n x n matrix P, valid as long as this object.
  const MatrixView<S>& matrix() const { return P_; }

  static Index kept_size(Index /*n*/, Index /*r*/, Index /*b*/) { return 0; }

  static Work work(Action action, double n, double r, double b) {
    constexpr bool cached = OnHost<Backend>;  // columns beside P are few, and read once
    const double square = n * n * sizeof(S);
    const double columns = cached ? 0 : 2 * n * b * sizeof(S);
    if (action == Action::apply) {
      return {.product = 2 * n * n * b,
              .thin = 2 * n * n * r,
              .bytes = (cached ? 3 : 4) * square + columns,
              .starts = 3};
    }
    return {.product = 4 * n * n * b,
            .thin = 6 * n * n * r,
            .bytes = (cached ? 6 : 10) * square + 2 * columns,
            .starts = 7};
  }

  void apply(Workspace& workspace, const MatrixView<const S>& Y, const MatrixView<S>& out,
             S* /*kept*/ = nullptr) const {
    detail::multiply_dense<Backend, S>(workspace, P_, Y, out);
  }

  void apply_adjoint(Workspace& workspace, const MatrixView<const S>& G,
                     const MatrixView<S>& out) const {
    detail::multiply_dense<Backend, S>(workspace, P_.transposed(), G, out);
  }

  void vjp(Workspace& workspace, const MatrixView<const S>& G, const MatrixView<const S>& Y,
           const S* /*kept*/, const MatrixView<S>& dY, const MatrixView<S>& dA,
           const MatrixView<S>& dB, bool accumulate) const {
    const auto frame = workspace.frame();
    if (dA.data != nullptr || dB.data != nullptr) {
      const Accumulator<S> beta = accumulate ? 1 : 0;
      const MatrixView<S> T = take_copies(workspace);
      Backend::gemm(workspace, 1, G, Y.transposed(), 0, T.col_range(0, f_.dim()));
      repeat(workspace, T);
      const MatrixView<const S> dM = Inflation::template deflate<Backend, S>(workspace, T);
      if (dB.data != nullptr) {
        Backend::gemm(workspace, f_.scale, dM, f_.A.transposed(), beta, dB);
      }
      if (dA.data != nullptr) {
        Backend::gemm(workspace, f_.scale, f_.B.transposed(), dM, beta, dA);
      }
    }
    if (dY.data != nullptr) {
      detail::multiply_dense<Backend, S>(workspace, P_.transposed(), G, dY);
    }
  }

 private:
  MatrixView<S> take_copies(Workspace& workspace) const {
    const Index n = f_.dim();
    return workspace.template take<S>(n, copies * n, StorageOrder::RowMajor);
  }

  void repeat(Workspace& workspace, const MatrixView<S>& T) const {
    const Index n = f_.dim();
    for (Index c = 1; c < copies; ++c) {
      Backend::copy(workspace, as_const(T.col_range(0, n)), T.col_range(c * n, n));
    }
  }

  Factors<S> f_;
  MatrixView<S> P_;
};

}  // namespace lorma::inline LORMA_ABI

#endif
