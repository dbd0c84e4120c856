// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_FORWARD_HPP
#define LORMA_PRIMITIVES_FORWARD_HPP

/// forward: H = P (W0 X) (Pre) or W0 (P X) (Post), or through the merged weight (WeightFirst).
///
///   lorma::Factors<float> f = lorma::factors(B, A, alpha / rank);
///   auto H = lorma::forward<lorma::Identity>(f, W0, X);                          // Auto, Pre
///   lorma::forward_into<lorma::CyclicPermutation, lorma::ActivationFirst<lorma::Spectral>,
///                       lorma::Post>(H, f, W0, X, tape);
/// W0 d x k, X k x b, H d x b. Cost 2 d k b flops for the layer and one apply of P on b columns.

#include "lorma/primitives/merge.hpp"
#include "lorma/primitives/overlap.hpp"
#include "lorma/primitives/places.hpp"
#include "lorma/primitives/tape.hpp"

namespace lorma::inline LORMA_ABI {

/// Factors over matrices of the caller; nothing is copied. B is n x r, A is r x n.
template <EigenDense DB, EigenDense DA>
auto factors(const DB& B, const DA& A, typename DB::Scalar scale) {
  return Factors<typename DB::Scalar>{view_of(B), view_of(A), scale};
}

namespace detail {

template <typename Order, typename Inflation, typename Base>
using UsableRoutes = std::conditional_t<Base::has_entries, RoutesFor<Order, Inflation>,
                                        ActivationRoutesFor<Order, Inflation>>;

template <typename Side, typename S>
void check_layer(std::string_view function, const Factors<S>& f, Index d, Index k) {
  check_factors(function, f);
  if (Side::dim(d, k) == f.dim()) return;
  throw ShapeError("lorma::" + std::string(function) + ": expected W0 with " +
                   (std::is_same_v<Side, Pre> ? "rows" : "columns") +
                   " n = " + std::to_string(f.dim()) + " (" + std::string(Side::name) +
                   "), got W0 " + shape(d, k));
}

template <typename Backend, typename S, typename W0, typename X, typename H>
void check_forward_places(const Factors<S>& f, const W0& w0, const X& x, const H& h,
                          const typename Backend::Workspace& workspace) {
  check_places("forward", place_of<Backend>(workspace),
               {{"the factors", f.place},
                {"W0", place_of<Backend>(w0)},
                {"X", place_of<Backend>(x)},
                {"H", place_of<Backend>(h)}});
}

/// One forward through one route. `tape` may be null.
template <typename Route, typename Inflation, typename Side, typename Backend, typename S,
          typename Base>
void forward_route(typename Backend::Workspace& workspace, const Factors<S>& f, const Base& W0,
                   const MatrixView<const S>& X, const MatrixView<S>& H,
                   TapeStorage<S, Backend>* tape) {
  using Op = Operator<typename Route::Evaluation, Inflation, Backend, S>;
  constexpr bool pre = std::is_same_v<Side, Pre>;
  const auto frame = workspace.frame();
  const Op P(workspace, f);
  if constexpr (Route::where == Where::Activation) {
    S* kept = tape == nullptr ? nullptr : tape->new_kept(Op::kept_size(f.dim(), f.rank(), X.cols));
    if constexpr (pre) {
      const MatrixView<S> Y = tape == nullptr ? H : tape->new_input(W0.rows(), X.cols, H.order);
      W0.multiply(workspace, X, Y);
      P.apply(workspace, as_const(Y), H, kept);
    } else {
      if (tape != nullptr) tape->keep_input(X);
      const MatrixView<S> Z = workspace.template take<S>(X.rows, X.cols, X.order);
      P.apply(workspace, X, Z, kept);
      W0.multiply(workspace, as_const(Z), H);
    }
  } else {
    const MatrixView<S> W = tape == nullptr ? workspace.template take<S>(W0.rows(), W0.cols())
                                            : tape->new_weight(W0.rows(), W0.cols());
    if (tape != nullptr) tape->keep_input(X);
    multiply_weight<Side, S, Backend>(workspace, P, W0.W, W);
    Backend::gemm(workspace, 1, as_const(W), X, 0, H);
  }
}

template <typename Inflation, typename Order, typename Side, typename Backend, typename S,
          typename Base>
void forward_views(typename Backend::Workspace& workspace, const Factors<S>& f, const Base& W0,
                   const MatrixView<const S>& X, const MatrixView<S>& H,
                   TapeStorage<S, Backend>* tape) {
  using Routes = UsableRoutes<Order, Inflation, Base>;
  static_assert(Routes::size > 0,
                "lorma: WeightFirst needs the entries of W0; over a base that is only an operator "
                "use ActivationFirst or Auto");
  if constexpr (Routes::size > 0) {
    check_layer<Side>("forward", f, W0.rows(), W0.cols());
    check_shape("forward", "X (k x b)", X.rows, X.cols, W0.cols(), X.cols);
    check_shape("forward", "H (d x b)", H.rows, H.cols, W0.rows(), X.cols);
    check_no_overlap("forward", "H", as_const(H), "X", X);
    const CallSizes call{W0.rows(), W0.cols(), X.cols, f.rank()};
    const Task task = tape == nullptr ? Task::Forward : Task::Training;
    const std::size_t route =
        cheapest<Side, Backend>(Routes{}, call, task, Backend::template cost_rates<S>(), sizeof(S));
    if (tape != nullptr) tape->clear();
    if (!H.empty()) {
      visit_route(Routes{}, route, [&](auto chosen) {
        forward_route<decltype(chosen), Inflation, Side, Backend>(workspace, f, W0, X, H, tape);
      });
    }
    if (tape != nullptr) {
      tape->set_key(
          {Inflation::name, Side::name, Routes::size, route, call.d, call.k, call.b, call.r});
    }
  }
}

}  // namespace detail

/// H = forward of X, into H. Throws ShapeError, and BackendError for operands of several contexts;
/// H is untouched then.
template <typename Inflation, typename Order = Auto, typename Side = Pre,
          typename Backend = EigenCpu, typename S, typename W0, typename X, typename H>
void forward_into(H&& h, const Factors<S>& f, const W0& w0, const X& x,
                  typename Backend::Workspace& workspace) {
  static_assert(detail::CheckPolicies<S, Inflation, Order, Side, Backend>::ok);
  detail::check_forward_places<Backend>(f, w0, x, h, workspace);
  const detail::Base<Backend, S, W0> base(w0);
  const auto& input = Backend::operand(x);
  detail::forward_views<Inflation, Order, Side, Backend, S>(
      workspace, f, base.get(), input.view(), Backend::output("forward_into", h), nullptr);
}

/// The same, keeping in `tape` what backward needs.
template <typename Inflation, typename Order = Auto, typename Side = Pre,
          typename Backend = EigenCpu, typename S, typename W0, typename X, typename H>
void forward_into(H&& h, const Factors<S>& f, const W0& w0, const X& x,
                  detail::TapeStorage<S, Backend>& tape) {
  static_assert(detail::CheckPolicies<S, Inflation, Order, Side, Backend>::ok);
  detail::check_forward_places<Backend>(f, w0, x, h, tape.workspace());
  const detail::Base<Backend, S, W0> base(w0);
  const auto& input = Backend::operand(x);
  detail::forward_views<Inflation, Order, Side, Backend, S>(
      tape.workspace(), f, base.get(), input.view(), Backend::output("forward_into", h), &tape);
}

/// H = forward of X (d x b), returned.
template <typename Inflation, typename Order = Auto, typename Side = Pre,
          typename Backend = EigenCpu, typename S, typename W0, typename X>
typename Backend::template Matrix<S> forward(const Factors<S>& f, const W0& w0, const X& x) {
  const auto context = Backend::context_of(x);
  auto workspace = Backend::make_workspace(context);
  typename Backend::template Matrix<S> h;
  Backend::resize(context, h, w0.rows(), x.cols());
  forward_into<Inflation, Order, Side, Backend>(h, f, w0, x, workspace);
  return h;
}

template <typename Inflation, typename Order = Auto, typename Side = Pre,
          typename Backend = EigenCpu, typename S, typename W0, typename X>
typename Backend::template Matrix<S> forward(const Factors<S>& f, const W0& w0, const X& x,
                                             detail::TapeStorage<S, Backend>& tape) {
  typename Backend::template Matrix<S> h;
  Backend::resize(Backend::context_of(x), h, w0.rows(), x.cols());
  forward_into<Inflation, Order, Side, Backend>(h, f, w0, x, tape);
  return h;
}

}  // namespace lorma::inline LORMA_ABI

#endif
