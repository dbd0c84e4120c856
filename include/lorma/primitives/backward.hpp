// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_BACKWARD_HPP
#define LORMA_PRIMITIVES_BACKWARD_HPP

/// backward: from dH (d x b), the gradient of a scalar loss in H, to dX (k x b), dA (r x n), dB (n
/// x r). W0 is frozen and gets none.
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

namespace detail {

/// Where gradients are written.
template <typename S>
struct GradientViews {
  MatrixView<S> dX;  ///< null data: not wanted
  MatrixView<S> dA;
  MatrixView<S> dB;
};

/// The gradient of <dW, W> in the factors, W = P W0 (Pre): vjp with G = dW, Y = W0;
/// W = W0 P (Post): <dW, W0 P> = <W0^T, P dW^T>, so vjp with G = W0^T, Y = dW^T.
template <typename Side, typename S, typename Backend, typename Op, typename T>
void weight_vjp(typename Backend::Workspace& workspace, const Op& P, const MatrixView<const T>& W0,
                const MatrixView<const S>& dW, const GradientViews<S>& g) {
  constexpr bool pre = std::is_same_v<Side, Pre>;
  const MatrixView<const T> w = pre ? W0 : W0.transposed();
  const MatrixView<const S> dw = pre ? dW : dW.transposed();
  const auto run = [&](const MatrixView<const S>& base, const MatrixView<const S>& gradient,
                       const MatrixView<S>& dA, const MatrixView<S>& dB) {
    P.vjp(workspace, pre ? gradient : base, pre ? base : gradient, nullptr, MatrixView<S>{}, dA,
          dB);
  };
  if constexpr (std::same_as<T, S>) {
    run(w, dw, g.dA, g.dB);
  } else {
    // Converted by panels; the gradients are sums over columns, so panels add up.
    const Index panel = Backend::panel_columns(workspace);
    const auto frame = workspace.frame();
    const MatrixView<S> buffer = workspace.template take<S>(w.rows, std::min(panel, w.cols));
    const Index n = w.rows;
    const Index r = g.dA.rows;
    const MatrixView<S> sums = workspace.template take<S>(n, 2 * r);
    const MatrixView<S> identity = workspace.template take<S>(r, r);
    Backend::fill(workspace, 0, identity);
    Backend::add_identity(workspace, identity);
    for (Index j = 0; j < w.cols; j += panel) {
      const Index count = std::min(panel, w.cols - j);
      const MatrixView<S> part = buffer.col_range(0, count);
      Backend::copy(workspace, w.col_range(j, count), part);
      const bool first = j == 0;
      const MatrixView<S> dA = first ? g.dA : sums.col_range(0, r).transposed();
      const MatrixView<S> dB = first ? g.dB : sums.col_range(r, r);
      run(as_const(part), dw.col_range(j, count), dA, dB);
      if (!first) {
        Backend::gemm(workspace, 1, as_const(identity), as_const(dA), 1, g.dA);
        Backend::gemm(workspace, 1, as_const(dB), as_const(identity), 1, g.dB);
      }
    }
  }
}

template <typename Route, typename Inflation, typename Side, typename Backend, typename S,
          typename Base>
void backward_route(typename Backend::Workspace& workspace, const Factors<S>& f, const Base& W0,
                    const MatrixView<const S>& dH, const TapeStorage<S, Backend>& tape,
                    const GradientViews<S>& g) {
  using Op = Operator<typename Route::Evaluation, Inflation, Backend, S>;
  constexpr bool pre = std::is_same_v<Side, Pre>;
  const bool wants_input = g.dX.data != nullptr;
  const auto frame = workspace.frame();
  const Op P(workspace, f);
  if constexpr (Route::where == Where::Activation) {
    if constexpr (pre) {
      const MatrixView<S> dY =
          wants_input ? workspace.template take<S>(dH.rows, dH.cols, dH.order) : MatrixView<S>{};
      P.vjp(workspace, dH, tape.input(), tape.kept(), dY, g.dA, g.dB);
      if (wants_input) W0.multiply_adjoint(workspace, as_const(dY), g.dX);
    } else {
      const MatrixView<S> Z =
          wants_input ? g.dX : workspace.template take<S>(W0.cols(), dH.cols, dH.order);
      W0.multiply_adjoint(workspace, dH, Z);
      P.vjp(workspace, as_const(Z), tape.input(), tape.kept(), g.dX, g.dA, g.dB);
    }
  } else {
    const MatrixView<S> dW = workspace.template take<S>(W0.rows(), W0.cols(), W0.W.order);
    Backend::gemm(workspace, 1, dH, tape.input().transposed(), 0, dW);
    weight_vjp<Side, S, Backend>(workspace, P, W0.W, as_const(dW), g);
    if (wants_input) {
      Backend::gemm(workspace, 1, tape.weight(W0.rows(), W0.cols()).transposed(), dH, 0, g.dX);
    }
  }
}

template <typename Inflation, typename Order, typename Side, typename Backend, typename S,
          typename Base>
void backward_views(const Factors<S>& f, const Base& W0, const MatrixView<const S>& dH,
                    TapeStorage<S, Backend>& tape, const GradientViews<S>& g) {
  using Routes = UsableRoutes<Order, Inflation, Base>;
  static_assert(Routes::size > 0,
                "lorma: WeightFirst needs the entries of W0; over a base that is only an operator "
                "use ActivationFirst or Auto");
  if constexpr (Routes::size > 0) {
    check_layer<Side>("backward", f, W0.rows(), W0.cols());
    const TapeKey& key = tape.key();
    if (key.routes != Routes::size || key.inflation != Inflation::name || key.side != Side::name ||
        key.d != W0.rows() || key.k != W0.cols() || key.r != f.rank()) {
      throw ShapeError(
          "lorma::backward: expected a tape recorded by forward of this adapter and W0 " +
          shape(W0.rows(), W0.cols()) + ", got " +
          (tape.recorded() ? "one of " + std::string(key.inflation) + ", " + std::string(key.side) +
                                 ", rank " + std::to_string(key.r) + ", W0 " + shape(key.d, key.k)
                           : std::string("an empty tape")));
    }
    check_shape("backward", "dH (d x b)", dH.rows, dH.cols, key.d, key.b);
    check_shape("backward", "dA (r x n)", g.dA.rows, g.dA.cols, f.rank(), f.dim());
    check_shape("backward", "dB (n x r)", g.dB.rows, g.dB.cols, f.dim(), f.rank());
    if (g.dX.data != nullptr) {
      check_shape("backward", "dX (k x b)", g.dX.rows, g.dX.cols, key.k, key.b);
      check_no_overlap("backward", "dX", as_const(g.dX), "dH", dH);
    }
    auto& workspace = tape.workspace();
    if (dH.empty()) {
      Backend::fill(workspace, 0, g.dA);
      Backend::fill(workspace, 0, g.dB);
      if (g.dX.data != nullptr) Backend::fill(workspace, 0, g.dX);
      return;
    }
    visit_route(Routes{}, key.route, [&](auto chosen) {
      backward_route<decltype(chosen), Inflation, Side, Backend>(workspace, f, W0, dH, tape, g);
    });
  }
}

}  // namespace detail

/// Gradients into matrices of the caller (dX k x b, dA r x n, dB n x r; pass nullptr as dX when the
/// input needs none). Throws ShapeError, and BackendError for operands of several contexts, before
/// anything is written.
template <typename Inflation, typename Order = Auto, typename Side = Pre,
          typename Backend = EigenCpu, typename S, typename DX, typename DA, typename DB,
          typename W0, typename DH>
void backward_into(DX&& dx, DA&& da, DB&& db, const Factors<S>& f, const W0& w0, const DH& dh,
                   detail::TapeStorage<S, Backend>& tape) {
  static_assert(detail::CheckPolicies<S, Inflation, Order, Side, Backend>::ok);
  detail::check_places("backward", detail::place_of<Backend>(tape.workspace()),
                       {{"the factors", f.place},
                        {"W0", detail::place_of<Backend>(w0)},
                        {"dH", detail::place_of<Backend>(dh)},
                        {"dX", detail::place_of<Backend>(dx)},
                        {"dA", detail::place_of<Backend>(da)},
                        {"dB", detail::place_of<Backend>(db)}});
  const detail::Base<Backend, S, W0> base(w0);
  const auto& gradient = Backend::operand(dh);
  detail::GradientViews<S> g;
  if constexpr (!std::is_null_pointer_v<std::remove_cvref_t<DX>>) {
    g.dX = Backend::output("backward_into", dx);
  }
  g.dA = Backend::output("backward_into", da);
  g.dB = Backend::output("backward_into", db);
  detail::backward_views<Inflation, Order, Side, Backend, S>(f, base.get(), gradient.view(), tape,
                                                             g);
}

/// Gradients into `g`, resized when needed; allocates nothing once warm.
template <typename Inflation, typename Order = Auto, typename Side = Pre,
          typename Backend = EigenCpu, typename S, typename W0, typename DH>
void backward_into(Gradients<S, Backend>& g, const Factors<S>& f, const W0& w0, const DH& dh,
                   detail::TapeStorage<S, Backend>& tape) {
  detail::check_places("backward", detail::place_of<Backend>(tape.workspace()),
                       {{"dH", detail::place_of<Backend>(dh)}});
  const auto context = Backend::context_of(dh);
  Backend::resize(context, g.dX, w0.cols(), dh.cols());
  Backend::resize(context, g.dA, f.rank(), f.dim());
  Backend::resize(context, g.dB, f.dim(), f.rank());
  backward_into<Inflation, Order, Side, Backend>(g.dX, g.dA, g.dB, f, w0, dh, tape);
}

/// Gradients, returned.
template <typename Inflation, typename Order = Auto, typename Side = Pre,
          typename Backend = EigenCpu, typename S, typename W0, typename DH>
Gradients<S, Backend> backward(const Factors<S>& f, const W0& w0, const DH& dh,
                               detail::TapeStorage<S, Backend>& tape) {
  Gradients<S, Backend> g;
  backward_into<Inflation, Order, Side, Backend>(g, f, w0, dh, tape);
  return g;
}

}  // namespace lorma::inline LORMA_ABI

#endif
