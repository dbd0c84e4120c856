// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_ACTION_HPP
#define LORMA_PRIMITIVES_ACTION_HPP

/// P alone, behind the door: P Y, P^T G and the gradients of <G, P Y>, for a framework that keeps
/// the frozen layer to itself (Pre is P(linear(x)), Post linear(P x)).
///
/// Cost: one apply or vjp of P on b columns, both by the evaluation whose apply is the cheapest
/// that the order permits.

#include "lorma/primitives/backward.hpp"

namespace lorma::inline LORMA_ABI {

/// Gradients of <G, P Y>.
template <typename S, typename Backend = EigenCpu>
struct ActionGradients {
  typename Backend::template Matrix<S> dY;  ///< n x b
  typename Backend::template Matrix<S> dA;  ///< r x n
  typename Backend::template Matrix<S> dB;  ///< n x r
};

namespace detail {

/// P alone by one evaluation.
template <typename Evaluation, typename S, typename Inflation, typename Backend>
struct ActionRoute {
  using Workspace = typename Backend::Workspace;
  using P = Operator<Evaluation, Inflation, Backend, S>;

  static void apply(Workspace& workspace, const Factors<S>& f, const MatrixView<const S>& Y,
                    const MatrixView<S>& out, bool adjoint);
  static void vjp(Workspace& workspace, const Factors<S>& f, const MatrixView<const S>& Y,
                  const MatrixView<const S>& G, const GradientViews<S>& g);
};

template <typename Evaluation, typename S, typename Inflation, typename Backend>
void ActionRoute<Evaluation, S, Inflation, Backend>::apply(Workspace& workspace,
                                                           const Factors<S>& f,
                                                           const MatrixView<const S>& Y,
                                                           const MatrixView<S>& out, bool adjoint) {
  run_rehearsed<Backend>(workspace, [&] {
    const auto frame = workspace.frame();
    const P p(workspace, f);
    adjoint ? p.apply_adjoint(workspace, Y, out) : p.apply(workspace, Y, out);
  });
}

template <typename Evaluation, typename S, typename Inflation, typename Backend>
void ActionRoute<Evaluation, S, Inflation, Backend>::vjp(Workspace& workspace, const Factors<S>& f,
                                                         const MatrixView<const S>& Y,
                                                         const MatrixView<const S>& G,
                                                         const GradientViews<S>& g) {
  run_rehearsed<Backend>(workspace, [&] {
    const auto frame = workspace.frame();
    const P p(workspace, f);
    const bool add_dY = g.accumulate && g.dX.data != nullptr;
    const MatrixView<S> dY =
        add_dY ? workspace.template take<S>(g.dX.rows, g.dX.cols, g.dX.order) : g.dX;
    p.vjp(workspace, G, Y, nullptr, dY, g.dA, g.dB, g.accumulate);
    if (add_dY) Backend::add(workspace, as_const(dY), g.dX);
  });
}

/// P alone by the cheapest evaluation of the order.
template <typename S, typename Inflation, typename Order, typename Backend>
struct ActionOfP {
  using Workspace = typename Backend::Workspace;

  /// out = P Y or P^T Y; out is Y or shares nothing with it. Throws ShapeError, before out is
  /// written.
  static void apply(Workspace& workspace, const Factors<S>& f, const MatrixView<const S>& Y,
                    const MatrixView<S>& out, bool adjoint) {
    const std::string_view verb = adjoint ? "apply_adjoint" : "apply";
    check_shape(verb, "Y (n x b)", Y.rows, Y.cols, f.dim(), Y.cols);
    check_shape(verb, "the output (n x b)", out.rows, out.cols, f.dim(), Y.cols);
    if (Y.empty()) return;
    visit(f, Y.cols, [&](auto route) { decltype(route)::apply(workspace, f, Y, out, adjoint); });
  }

  /// g.dX is the gradient in Y; a gradient whose view has null data is not wanted. Throws
  /// ShapeError, before anything is written.
  static void vjp(Workspace& workspace, const Factors<S>& f, const MatrixView<const S>& Y,
                  const MatrixView<const S>& G, const GradientViews<S>& g) {
    const auto check = [](std::string_view what, const MatrixView<S>& view, Index rows,
                          Index cols) {
      if (view.data != nullptr) check_shape("vjp", what, view.rows, view.cols, rows, cols);
    };
    check_shape("vjp", "Y (n x b)", Y.rows, Y.cols, f.dim(), Y.cols);
    check_shape("vjp", "G (n x b)", G.rows, G.cols, f.dim(), Y.cols);
    check("dY (n x b)", g.dX, f.dim(), Y.cols);
    check("dA (r x n)", g.dA, f.rank(), f.dim());
    check("dB (n x r)", g.dB, f.dim(), f.rank());
    visit(f, Y.cols, [&](auto route) { decltype(route)::vjp(workspace, f, Y, G, g); });
  }

  /// out = P, n x n.
  static void inflate(Workspace& workspace, const Factors<S>& f, const MatrixView<S>& out) {
    const auto frame = workspace.frame();
    const Operator<Dense, Inflation, Backend, S> P(workspace, f);
    Backend::copy(workspace, as_const(P.matrix()), out);
  }

 private:
  /// Calls act with the route. One apply of b columns is a merge into an n x b weight, which is how
  /// the cost model knows it.
  template <typename F>
  static void visit(const Factors<S>& f, Index b, F&& act) {
    using Routes = MergeRoutes<Order, Inflation>;
    const CallSizes call{f.dim(), b, 0, f.rank()};
    visit_route(Routes{}, cheapest<Inflation, Pre, Backend, S>(Routes{}, call, Task::Merge),
                [&](auto route) {
                  act(ActionRoute<typename decltype(route)::Evaluation, S, Inflation, Backend>{});
                });
  }
};

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI

#endif
