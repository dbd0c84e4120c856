// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_BACKWARD_HPP
#define LORMA_PRIMITIVES_BACKWARD_HPP

/// backward behind the door: from dH (d x b), the gradient of a scalar loss in H, to dX (k x b), dA
/// (r x n), dB (n x r). W0 is frozen and gets no gradient.
///
/// The adjoint chain of forward. Cost: 2 d k b flops and one vjp of P on b columns
/// (ActivationFirst); WeightFirst 4 d k b and one vjp on the columns of the weight.

#include "lorma/primitives/forward.hpp"

namespace lorma::inline LORMA_ABI {

/// Gradients of one backward.
template <typename S, typename Backend = EigenCpu>
struct Gradients {
  typename Backend::template Matrix<S> dX;  ///< k x b
  typename Backend::template Matrix<S> dA;  ///< r x n
  typename Backend::template Matrix<S> dB;  ///< n x r
};

/// For backward_into and vjp_into: gradients are added to what the matrices hold, not written over
/// it.
inline constexpr bool accumulate = true;

namespace detail {

/// Where gradients go.
template <typename S>
struct GradientViews {
  MatrixView<S> dX;  ///< null data: not wanted; likewise dA and dB
  MatrixView<S> dA;
  MatrixView<S> dB;
  bool accumulate = false;
};

/// The gradient of <dW, W> in the factors, W = P W0 (Pre): vjp with G = dW, Y = W0;
/// W = W0 P (Post): <dW, W0 P> = <W0^T, P dW^T>, so vjp with G = W0^T, Y = dW^T.
template <typename Side, typename S, typename Backend, typename Op, typename T>
void weight_vjp(typename Backend::Workspace& workspace, const Op& P, const MatrixView<const T>& W0,
                const MatrixView<const S>& dW, const GradientViews<S>& g) {
  const MatrixView<const T> w = columns_of_weight<Side>(W0);
  const MatrixView<const S> dw = columns_of_weight<Side>(dW);
  const auto run = [&](const MatrixView<const S>& base, const MatrixView<const S>& gradient,
                       bool accumulate) {
    constexpr bool pre = std::is_same_v<Side, Pre>;
    P.vjp(workspace, pre ? gradient : base, pre ? base : gradient, nullptr, MatrixView<S>{}, g.dA,
          g.dB, accumulate);
  };
  if constexpr (std::same_as<T, S>) {
    run(w, dw, g.accumulate);
  } else {
    // The gradients are sums over columns, so panels add up.
    for_panels<S, Backend>(
        workspace, w, Backend::panel_columns(workspace), StorageOrder::ColMajor,
        [&](Index j, const MatrixView<S>& panel) {
          run(as_const(panel), dw.col_range(j, panel.cols), g.accumulate || j > 0);
        },
        [](Index) {});
  }
}

/// One way back through the layer, shared by all orders that permit it.
template <typename Route, typename S, typename Inflation, typename Side, typename Backend,
          typename Weight>
struct BackwardRoute {
  static void run(typename Backend::Workspace& workspace, const Factors<S>& f, const Weight& W0,
                  const MatrixView<const S>& dH, const TapeStage<S, Backend>& stage,
                  const GradientViews<S>& g);
};

template <typename Route, typename S, typename Inflation, typename Side, typename Backend,
          typename Weight>
void BackwardRoute<Route, S, Inflation, Side, Backend, Weight>::run(
    typename Backend::Workspace& workspace, const Factors<S>& f, const Weight& W0,
    const MatrixView<const S>& dH, const TapeStage<S, Backend>& stage, const GradientViews<S>& g) {
  const bool wants_input = g.dX.data != nullptr;
  const auto frame = workspace.frame();
  const Operator<typename Route::Evaluation, Inflation, Backend, S> P(workspace, f);
  if constexpr (Route::where == Where::Activation && std::is_same_v<Side, Pre>) {
    const MatrixView<S> dY =
        wants_input ? workspace.template take<S>(dH.rows, dH.cols, dH.order) : MatrixView<S>{};
    P.vjp(workspace, dH, stage.input(), stage.kept(), dY, g.dA, g.dB, g.accumulate);
    if (wants_input) W0.multiply_adjoint(workspace, as_const(dY), g.dX, g.accumulate);
  } else if constexpr (Route::where == Where::Activation) {
    const bool into_dX = wants_input && !g.accumulate;
    const MatrixView<S> Z =
        into_dX ? g.dX : workspace.template take<S>(W0.cols(), dH.cols, dH.order);
    W0.multiply_adjoint(workspace, dH, Z, false);
    P.vjp(workspace, as_const(Z), stage.input(), stage.kept(), wants_input ? Z : MatrixView<S>{},
          g.dA, g.dB, g.accumulate);
    if (wants_input && !into_dX) Backend::add(workspace, as_const(Z), g.dX);
  } else {
    if (g.dA.data != nullptr || g.dB.data != nullptr) {
      const MatrixView<S> dW = workspace.template take<S>(W0.rows(), W0.cols(), W0.W.order);
      Backend::gemm(workspace, 1, dH, stage.input().transposed(), 0, dW);
      weight_vjp<Side, S, Backend>(workspace, P, W0.W, as_const(dW), g);
    }
    if (wants_input) {
      Backend::gemm(workspace, 1, stage.weight().transposed(), dH, g.accumulate ? 1 : 0, g.dX);
    }
  }
}

template <typename S, typename Inflation, typename Order, typename Side, typename Backend,
          typename Weight>
struct Backward {
  using Tape = BasicTape<S, Backend>;
  using Workspace = typename Backend::Workspace;

  /// Throws ShapeError for a tape of another key or shapes that do not fit; nothing is written
  /// then.
  static void run(const Factors<S>& f, const Weight& W0, const MatrixView<const S>& dH, Tape& tape,
                  const GradientViews<S>& g);
};

template <typename S, typename Inflation, typename Order, typename Side, typename Backend,
          typename Weight>
void Backward<S, Inflation, Order, Side, Backend, Weight>::run(const Factors<S>& f,
                                                               const Weight& W0,
                                                               const MatrixView<const S>& dH,
                                                               Tape& tape,
                                                               const GradientViews<S>& g) {
  using Routes = UsableRoutes<Order, Inflation, Weight>;
  const Index d = W0.rows();
  const Index k = W0.cols();
  check_weight<Side>("backward", "W0", f, d, k);
  std::size_t route = Routes::size;
  const auto fits = [&](std::size_t, const TapeKey& key) {
    for (std::size_t i = 0; i < Routes::size; ++i) {
      visit_route(Routes{}, i, [&](auto chosen) {
        if (key == tape_key<decltype(chosen), Inflation, Side>(d, k, key.b, f.rank())) route = i;
      });
    }
    return route < Routes::size;
  };
  tape.check("backward", 1, fits, [&] {
    return "this adapter (" + std::string(Inflation::name) + ", " + std::string(Side::name) + ", " +
           std::string(Order::name) + ", rank " + std::to_string(f.rank()) + ") and W0 " +
           shape(d, k);
  });
  const Index b = tape.stage(0).key.b;
  check_shape("backward", "dH (d x b)", dH.rows, dH.cols, d, b);
  const auto check_wanted = [](std::string_view what, const MatrixView<S>& view, Index rows,
                               Index cols) {
    if (view.data != nullptr) check_shape("backward", what, view.rows, view.cols, rows, cols);
  };
  check_wanted("dX (k x b)", g.dX, k, b);
  check_wanted("dA (r x n)", g.dA, f.rank(), f.dim());
  check_wanted("dB (n x r)", g.dB, f.dim(), f.rank());
  auto& workspace = tape.workspace();
  if (dH.empty()) {
    if (g.accumulate) return;
    for (const MatrixView<S>& view : {g.dX, g.dA, g.dB}) {
      if (view.data != nullptr) Backend::fill(workspace, 0, view);
    }
    return;
  }
  visit_route(Routes{}, route, [&](auto chosen) {
    using Route = BackwardRoute<decltype(chosen), S, Inflation, Side, Backend, Weight>;
    run_rehearsed<Backend>(workspace, [&] { Route::run(workspace, f, W0, dH, tape.stage(0), g); });
  });
}

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI

#endif
