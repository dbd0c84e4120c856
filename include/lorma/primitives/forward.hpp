// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_FORWARD_HPP
#define LORMA_PRIMITIVES_FORWARD_HPP

/// forward behind the door: H = P (W0 X) (Pre) or W0 (P X) (Post), or through the merged weight
/// (WeightFirst).
///
/// W0 d x k, X k x b, H d x b. Cost 2 d k b flops for the layer and one apply of P on b columns
/// (ActivationFirst) or on the columns of the weight (WeightFirst).

#include "lorma/primitives/frozen_weight.hpp"
#include "lorma/primitives/merge.hpp"
#include "lorma/primitives/tape.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// The routes that a weight permits: WeightFirst needs its entries.
template <typename Order, typename Inflation, typename Weight>
using UsableRoutes = std::conditional_t<Weight::has_entries, RoutesFor<Order, Inflation>,
                                        ActivationRoutesFor<Order, Inflation>>;

template <typename Order, typename Inflation, typename Weight>
constexpr bool has_route() {
  constexpr bool some = UsableRoutes<Order, Inflation, Weight>::size > 0;
  static_assert(some,
                "lorma: WeightFirst needs the entries of W0; over a base that is only an operator "
                "use ActivationFirst or Auto");
  return some;
}

/// One address for each combination of types.
template <typename... Types>
inline constexpr char type_identity_of = 0;

/// Key of a stage recorded through a route.
template <typename Route, typename Inflation, typename Side>
TapeKey tape_key(Index d, Index k, Index b, Index r) {
  return {Route::place,
          Route::Evaluation::name,
          Inflation::name,
          Side::name,
          d,
          k,
          b,
          r,
          &type_identity_of<Route, Inflation, Side>};
}

/// X, and whether a tape that borrows may point to it.
template <typename S>
struct LayerInput {
  MatrixView<const S> view;
  bool is_copy = false;  ///< made by the door, so it does not outlive the call
};

/// One way through the layer, shared by all orders that permit it. Defined outside the class, so
/// that a program that links lorma::compiled does not compile it.
template <typename Route, typename S, typename Inflation, typename Side, typename Backend,
          typename Weight>
struct ForwardRoute {
  static void run(typename Backend::Workspace& workspace, const Factors<S>& f, const Weight& W0,
                  const LayerInput<S>& input, const MatrixView<S>& H, BasicTape<S, Backend>* tape);
};

template <typename Route, typename S, typename Inflation, typename Side, typename Backend,
          typename Weight>
void ForwardRoute<Route, S, Inflation, Side, Backend, Weight>::run(
    typename Backend::Workspace& workspace, const Factors<S>& f, const Weight& W0,
    const LayerInput<S>& input, const MatrixView<S>& H, BasicTape<S, Backend>* tape) {
  using Op = Operator<typename Route::Evaluation, Inflation, Backend, S>;
  const MatrixView<const S>& X = input.view;
  const auto frame = workspace.frame();
  const Op P(workspace, f);
  const auto keep = [&] {
    if (tape == nullptr) return;
    tape->stage(0).keep_input(tape->context(), workspace, X, tape->borrows() && !input.is_copy);
  };
  if constexpr (Route::where == Where::Activation) {
    S* kept = tape == nullptr ? nullptr
                              : tape->stage(0).new_kept(tape->context(),
                                                        Op::kept_size(f.dim(), f.rank(), X.cols));
    if constexpr (std::is_same_v<Side, Pre>) {
      const MatrixView<S> Y =
          tape == nullptr ? H : tape->stage(0).new_input(tape->context(), H.rows, H.cols, H.order);
      W0.multiply(workspace, X, Y);
      P.apply(workspace, as_const(Y), H, kept);
    } else {
      keep();
      const MatrixView<S> Z = workspace.template take<S>(X.rows, X.cols, X.order);
      P.apply(workspace, X, Z, kept);
      W0.multiply(workspace, as_const(Z), H);
    }
  } else {
    const MatrixView<S> W = tape == nullptr
                                ? workspace.template take<S>(W0.rows(), W0.cols())
                                : tape->stage(0).new_weight(tape->context(), W0.rows(), W0.cols());
    keep();
    multiply_weight<Side, S, Backend>(workspace, P, W0.W, W);
    Backend::gemm(workspace, 1, as_const(W), X, 0, H);
  }
}

template <typename S, typename Inflation, typename Order, typename Side, typename Backend,
          typename Weight>
struct Forward {
  using Tape = BasicTape<S, Backend>;
  using Workspace = typename Backend::Workspace;

  /// `tape` is null if no backward follows. Throws ShapeError for shapes that do not fit; H is
  /// untouched then.
  static void run(Workspace& workspace, const Factors<S>& f, const Weight& W0,
                  const LayerInput<S>& X, const MatrixView<S>& H, Tape* tape);
};

template <typename S, typename Inflation, typename Order, typename Side, typename Backend,
          typename Weight>
void Forward<S, Inflation, Order, Side, Backend, Weight>::run(Workspace& workspace,
                                                              const Factors<S>& f, const Weight& W0,
                                                              const LayerInput<S>& input,
                                                              const MatrixView<S>& H, Tape* tape) {
  using Routes = UsableRoutes<Order, Inflation, Weight>;
  const MatrixView<const S>& X = input.view;
  check_weight<Side>("forward", "W0", f, W0.rows(), W0.cols());
  check_shape("forward", "X (k x b)", X.rows, X.cols, W0.cols(), X.cols);
  check_shape("forward", "H (d x b)", H.rows, H.cols, W0.rows(), X.cols);
  const CallSizes call{W0.rows(), W0.cols(), X.cols, f.rank()};
  const Task task = tape == nullptr ? Task::Forward : Task::Training;
  const std::size_t route = cheapest<Inflation, Side, Backend, S>(Routes{}, call, task);
  if (tape != nullptr) tape->begin(1);
  visit_route(Routes{}, route, [&](auto chosen) {
    using Route = decltype(chosen);
    if (!H.empty()) {
      run_rehearsed<Backend>(workspace, [&] {
        ForwardRoute<Route, S, Inflation, Side, Backend, Weight>::run(workspace, f, W0, input, H,
                                                                      tape);
      });
    }
    if (tape == nullptr) return;
    tape->stage(0).key = tape_key<Route, Inflation, Side>(call.d, call.k, call.b, call.r);
    tape->finish(1);
  });
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
