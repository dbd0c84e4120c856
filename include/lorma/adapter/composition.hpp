// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ADAPTER_COMPOSITION_HPP
#define LORMA_ADAPTER_COMPOSITION_HPP

/// Several adapters on one weight, in order: the first is applied to W0 first.
///
///   lorma::Composition both(task, style);          // Pre and Pre: W = P_style P_task W0
///   lorma::Tape<float> tape;
///   auto H = both.forward(W0, X, tape);
///   auto g = both.backward(W0, dH, tape);          // g.dX, g.factors[i].dA, g.factors[i].dB
///
/// Pre and Post may be mixed: W = P_m ... P_1 W0 Q_1 ... Q_m, Pre adapters on the left, Post
/// adapters on the right, each in the order given. Multipliers of one side do not commute. All
/// operators act on activations; W0 may be only an operator. For backends in host memory.

#include <array>
#include <tuple>
#include <utility>

#include "lorma/adapter/adapter.hpp"

namespace lorma::inline LORMA_ABI {

/// Adapters or AdapterViews, held by value.
template <typename First, typename... Rest>
class Composition {
  static_assert((std::is_same_v<typename First::Scalar, typename Rest::Scalar> && ...),
                "lorma::Composition: all adapters need the same Scalar");
  static_assert(OnHost<typename First::Backend> &&
                    (std::is_same_v<typename First::Backend, typename Rest::Backend> && ...),
                "lorma::Composition: all adapters need one backend, in memory of the process "
                "(EigenCpu)");

  template <typename A>
  using RoutesOf = ActivationRoutesFor<typename A::Order, typename A::Inflation>;
  static_assert(RoutesOf<First>::size > 0 && ((RoutesOf<Rest>::size > 0) && ...),
                "lorma::Composition: adapters act on activations here; use ActivationFirst or Auto "
                "instead of WeightFirst");

 public:
  using Scalar = typename First::Scalar;
  using Backend = typename First::Backend;
  /// One stage per adapter: the input of its P and what its evaluation keeps.
  using Tape = BasicTape<Scalar, Backend>;
  static constexpr std::size_t size = 1 + sizeof...(Rest);

  struct FactorGradients {
    Matrix<Scalar> dA;
    Matrix<Scalar> dB;
  };
  struct Gradients {
    Matrix<Scalar> dX;                          ///< k x b
    std::array<FactorGradients, size> factors;  ///< one for each adapter, in order
  };

  explicit Composition(First first, Rest... rest)
      : adapters_(std::move(first), std::move(rest)...) {}

  template <std::size_t I>
  auto& get() {
    return std::get<I>(adapters_);
  }
  template <std::size_t I>
  const auto& get() const {
    return std::get<I>(adapters_);
  }

  /// H (d x b). Throws ShapeError.
  template <typename W0, typename X>
  Matrix<Scalar> forward(const W0& w0, const X& x) const {
    Workspace workspace;
    return run_forward(w0, x, workspace, nullptr);
  }
  template <typename W0, typename X>
  Matrix<Scalar> forward(const W0& w0, const X& x, Tape& tape) const {
    return run_forward(w0, x, tape.workspace(), &tape);
  }

  /// Gradients of all factors and of X from dH and the tape of the last forward. Throws ShapeError.
  template <typename W0, typename DH>
  Gradients backward(const W0& w0, const DH& dh, Tape& tape) const {
    Workspace& workspace = tape.workspace();
    Door<Backend> door("Composition::backward", workspace);
    const detail::FrozenWeight<Backend, Scalar, W0> weight(door, w0);
    const auto gradient = door.template read<Scalar>("dH", dh);
    const MatrixView<const Scalar> dH = gradient.view();
    const auto base = weight.get();
    const std::array<std::size_t, size> routes = recorded_routes(tape, base.rows(), base.cols());
    const Index b = tape.stage(0).key.b;
    detail::check_shape("Composition::backward", "dH (d x b)", dH.rows, dH.cols, base.rows(), b);
    const auto frame = workspace.frame();
    Gradients result;
    result.dX.setZero(base.cols(), b);
    for_each([&]<std::size_t I>() {
      const auto& adapter = std::get<I>(adapters_);
      result.factors[I].dA.setZero(adapter.rank(), adapter.dim());
      result.factors[I].dB.setZero(adapter.dim(), adapter.rank());
    });
    if (dH.empty()) return result;
    const auto pull_back = [&]<std::size_t I>(const MatrixView<Scalar>& G) {
      with_operator<I>(workspace, routes[I], [&](const auto& P) {
        P.vjp(workspace, as_const(G), tape.stage(I).input(), tape.stage(I).kept(), G,
              view_of(result.factors[I].dA), view_of(result.factors[I].dB), false);
      });
    };
    const MatrixView<Scalar> G = workspace.template take<Scalar>(dH.rows, dH.cols);
    Backend::copy(workspace, dH, G);
    for_each_reversed([&]<std::size_t I>() {
      if constexpr (is_pre<I>) pull_back.template operator()<I>(G);
    });
    const MatrixView<Scalar> dX = view_of(result.dX);
    base.multiply_adjoint(workspace, as_const(G), dX, false);
    for_each([&]<std::size_t I>() {
      if constexpr (!is_pre<I>) pull_back.template operator()<I>(dX);
    });
    return result;
  }

  /// W (d x k), of W0's scalar and order; equals merging the adapters one after the other. Throws
  /// ShapeError, and NonFinite on request.
  template <typename W0>
  auto merge(const W0& w0, Finiteness finiteness = Finiteness::unchecked) const {
    Workspace workspace;
    Door<Backend> door("Composition::merge", workspace);
    using T = detail::scalar_of<W0>;
    const auto from = door.template read<T>("W0", w0);
    check_all("Composition::merge", from.view().rows, from.view().cols);
    auto result = Backend::empty_like(w0);
    Backend::copy(workspace, from.view(), view_of(result));
    merge_in_place(result, finiteness);
    return result;
  }
  template <typename W>
  void merge_in_place(W&& w, Finiteness finiteness = Finiteness::unchecked) const {
    in_place("Composition::merge_in_place", w, finiteness, [&](Workspace& workspace, auto view) {
      detail::run_rehearsed<Backend>(workspace, [&] {
        for_each([&]<std::size_t I>() {
          using A = AdapterAt<I>;
          detail::merge_views<typename A::Inflation, typename A::Order, typename A::Side, Backend>(
              workspace, std::get<I>(adapters_).factors(), as_const(view), view);
        });
      });
    });
  }
  /// Undoes merge_in_place. Throws RankDeficient if any multiplier cannot be inverted; W is
  /// untouched.
  template <typename W>
  void unmerge_in_place(W&& w, Finiteness finiteness = Finiteness::unchecked) const {
    in_place("Composition::unmerge_in_place", w, finiteness, [&](Workspace& workspace, auto view) {
      using T = std::remove_cvref_t<decltype(*view.data)>;
      const auto inverses = std::apply(
          [](const auto&... adapter) {
            return std::make_tuple(
                Inverse<typename std::remove_cvref_t<decltype(adapter)>::Inflation, Scalar>(
                    adapter.factors())...);
          },
          adapters_);
      // The adapters before the I-th magnify what it loses of the weight that it was merged into.
      double loss = 0.0;
      double magnified = 1.0;
      for_each([&]<std::size_t I>() {
        const RoundTrip& lost = std::get<I>(inverses).round_trip();
        loss += magnified * lost.loss(epsilon_of<T>());
        magnified *= lost.condition;
        detail::check_invertible(AdapterAt<I>::Inflation::name, lost, loss, epsilon_of<T>());
      });
      detail::run_rehearsed<Backend>(workspace, [&] {
        for_each_reversed([&]<std::size_t I>() {
          detail::multiply_weight<typename AdapterAt<I>::Side, Scalar, Backend>(
              workspace, std::get<I>(inverses), as_const(view), view);
        });
      });
    });
  }

 private:
  using Workspace = typename Backend::Workspace;
  template <std::size_t I>
  using AdapterAt = std::tuple_element_t<I, std::tuple<First, Rest...>>;
  template <std::size_t I>
  static constexpr bool is_pre = std::is_same_v<typename AdapterAt<I>::Side, Pre>;

  template <typename F>
  static void for_each(F&& f) {
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (f.template operator()<I>(), ...);
    }
    (std::make_index_sequence<size>{});
  }
  template <typename F>
  static void for_each_reversed(F&& f) {
    for_each([&]<std::size_t I>() { f.template operator()<size - 1 - I>(); });
  }

  void check_all(std::string_view function, Index d, Index k) const {
    for_each([&]<std::size_t I>() {
      detail::check_weight<typename AdapterAt<I>::Side>(function, "W0",
                                                        std::get<I>(adapters_).factors(), d, k);
    });
  }

  template <typename W, typename F>
  void in_place(std::string_view function, W& w, Finiteness finiteness, F&& run) const {
    Workspace workspace;
    Door<Backend> door(function, workspace);
    for_each([&]<std::size_t I>() { door.read(std::get<I>(adapters_).factors()); });
    const auto view = door.template write_weight<Scalar>("the weight", w);
    door.close();
    check_all(function, view.rows, view.cols);
    for_each([&]<std::size_t I>() {
      detail::check_finiteness<Backend>(function, finiteness, workspace,
                                        std::get<I>(adapters_).factors(), as_const(view));
    });
    if (!view.empty()) run(workspace, view);
  }

  /// Calls f with the operator of adapter I for the evaluation at `route`.
  template <std::size_t I, typename F>
  void with_operator(Workspace& workspace, std::size_t route, F&& f) const {
    using A = AdapterAt<I>;
    visit_route(RoutesOf<A>{}, route, [&](auto chosen) {
      const auto frame = workspace.frame();
      const Operator<typename decltype(chosen)::Evaluation, typename A::Inflation, Backend, Scalar>
          P(workspace, std::get<I>(adapters_).factors());
      f(P);
    });
  }

  /// The routes of a record of this composition on a weight d x k. Throws ShapeError for another
  /// record.
  std::array<std::size_t, size> recorded_routes(const Tape& tape, Index d, Index k) const {
    std::array<std::size_t, size> routes{};
    const auto fits = [&](std::size_t i, const TapeKey& key) {
      bool found = false;
      for_each([&]<std::size_t I>() {
        using A = AdapterAt<I>;
        if (I != i || key.b != tape.stage(0).key.b) return;
        for (std::size_t route = 0; route < RoutesOf<A>::size; ++route) {
          visit_route(RoutesOf<A>{}, route, [&](auto chosen) {
            if (key != key_of<I, decltype(chosen)>(d, k, key.b)) return;
            routes[I] = route;
            found = true;
          });
        }
      });
      return found;
    };
    tape.check("Composition::backward", size, fits, [&] {
      return "this composition of " + std::to_string(size) + " adapters and W0 " +
             detail::shape(d, k);
    });
    return routes;
  }
  template <std::size_t I, typename Route>
  TapeKey key_of(Index d, Index k, Index b) const {
    using A = AdapterAt<I>;
    return detail::tape_key<Route, typename A::Inflation, typename A::Side>(
        d, k, b, std::get<I>(adapters_).rank());
  }

  /// out = P_I in, which may be in place; recorded if there is a tape.
  template <std::size_t I>
  void push(Workspace& workspace, Tape* tape, Index d, Index k, const MatrixView<const Scalar>& in,
            const MatrixView<Scalar>& out) const {
    using A = AdapterAt<I>;
    const auto& adapter = std::get<I>(adapters_);
    const Task task = tape == nullptr ? Task::Forward : Task::Training;
    const std::size_t route = detail::cheapest<typename A::Inflation, Pre, Backend, Scalar>(
        RoutesOf<A>{}, CallSizes{adapter.dim(), adapter.dim(), in.cols, adapter.rank()}, task);
    with_operator<I>(workspace, route, [&](const auto& P) {
      Scalar* kept = nullptr;
      if (tape != nullptr) {
        auto& stage = tape->stage(I);
        if (!in.empty()) stage.keep_input(tape->context(), workspace, in, false);
        kept = stage.new_kept(tape->context(), P.kept_size(adapter.dim(), adapter.rank(), in.cols));
        visit_route(RoutesOf<A>{}, route,
                    [&](auto chosen) { stage.key = key_of<I, decltype(chosen)>(d, k, in.cols); });
      }
      if (!in.empty()) P.apply(workspace, in, out, kept);
    });
  }

  template <typename W0, typename X>
  Matrix<Scalar> run_forward(const W0& w0, const X& x, Workspace& workspace, Tape* tape) const {
    Door<Backend> door("Composition::forward", workspace);
    const detail::FrozenWeight<Backend, Scalar, W0> weight(door, w0);
    const auto operand = door.template read<Scalar>("X", x);
    const MatrixView<const Scalar> input = operand.view();
    const auto base = weight.get();
    const Index d = base.rows();
    const Index k = base.cols();
    check_all("Composition::forward", d, k);
    detail::check_shape("Composition::forward", "X (k x b)", input.rows, input.cols, k, input.cols);
    if (tape != nullptr) tape->begin(size);
    Matrix<Scalar> result(d, input.cols);
    const auto frame = workspace.frame();
    MatrixView<const Scalar> current = input;
    constexpr bool has_post = !std::is_same_v<typename First::Side, Pre> ||
                              (!std::is_same_v<typename Rest::Side, Pre> || ...);
    MatrixView<Scalar> Z;
    if constexpr (has_post) Z = workspace.template take<Scalar>(input.rows, input.cols);
    for_each_reversed([&]<std::size_t I>() {
      if constexpr (!is_pre<I>) {
        push<I>(workspace, tape, d, k, current, Z);
        current = Z;
      }
    });
    const MatrixView<Scalar> H = view_of(result);
    if (!input.empty()) base.multiply(workspace, current, H);
    for_each([&]<std::size_t I>() {
      if constexpr (is_pre<I>) push<I>(workspace, tape, d, k, as_const(H), H);
    });
    if (tape != nullptr) tape->finish(size);
    return result;
  }

  std::tuple<First, Rest...> adapters_;
};

}  // namespace lorma::inline LORMA_ABI

#endif
