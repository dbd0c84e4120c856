// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ADAPTER_COMPOSITION_HPP
#define LORMA_ADAPTER_COMPOSITION_HPP

/// Several adapters on one weight, in order: the first is applied to W0 first.
///
///   lorma::Composition both(task, style);          // Pre and Pre: W = P_style P_task W0
///   auto H = both.forward(W0, X, tape);            // typename decltype(both)::Tape tape
///   auto g = both.backward(W0, dH, tape);          // g.dX, g.factors[i].dA, g.factors[i].dB
///
/// Pre and Post may be mixed: W = P_m ... P_1 W0 Q_1 ... Q_m, Pre adapters on the left, Post
/// adapters on the right, each in the order given. Multipliers of one side do not commute. All
/// operators act on activations; W0 may be an operator only. CPU only.

#include <array>
#include <tuple>
#include <utility>

#include "lorma/adapter/adapter.hpp"

namespace lorma::inline LORMA_ABI {

template <typename First, typename... Rest>
class Composition {
  static_assert((std::is_same_v<typename First::Scalar, typename Rest::Scalar> && ...),
                "lorma::Composition: all adapters need the same Scalar");
  static_assert(std::is_same_v<typename First::Backend, EigenCpu> &&
                    (std::is_same_v<typename Rest::Backend, EigenCpu> && ...),
                "lorma::Composition: all adapters need the backend EigenCpu");

  template <typename A>
  using RoutesOf = ActivationRoutesFor<typename A::Order, typename A::Inflation>;
  static_assert(RoutesOf<First>::size > 0 && ((RoutesOf<Rest>::size > 0) && ...),
                "lorma::Composition: adapters act on activations here; use ActivationFirst or Auto "
                "instead of WeightFirst");

 public:
  using Scalar = typename First::Scalar;
  static constexpr std::size_t size = 1 + sizeof...(Rest);

  /// Input of each P and what its evaluation keeps.
  class Tape {
   public:
    /// Scratch used by calls that are given this tape.
    Workspace& workspace() { return workspace_; }

   private:
    friend class Composition;
    std::array<detail::TapeStorage<Scalar, EigenCpu>, size> stages_;
    std::array<std::size_t, size> routes_{};
    Index d_ = -1;
    Index k_ = -1;
    Index b_ = -1;
    Workspace workspace_;
  };

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

  /// Gradients of all factors and of X from dH and the tape of the last forward.
  template <typename W0, typename DH>
  Gradients backward(const W0& w0, const DH& dh, Tape& tape) const {
    const detail::Base<EigenCpu, Scalar, W0> wrapped(w0);
    const auto base = wrapped.get();
    const auto& operand = EigenCpu::operand(dh);
    const MatrixView<const Scalar> dH = operand.view();
    if (tape.d_ != base.rows() || tape.k_ != base.cols()) {
      throw ShapeError(
          "lorma::Composition::backward: expected a tape recorded by forward with W0 " +
          detail::shape(base.rows(), base.cols()) + ", got " +
          (tape.d_ < 0 ? std::string("an empty tape")
                       : "one of W0 " + detail::shape(tape.d_, tape.k_)));
    }
    detail::check_shape("Composition::backward", "dH (d x b)", dH.rows, dH.cols, tape.d_, tape.b_);
    Workspace& workspace = tape.workspace();
    const auto frame = workspace.frame();
    Gradients result;
    result.dX.setZero(base.cols(), dH.cols);
    for_each_reversed([&]<std::size_t I>() {
      const auto& adapter = std::get<I>(adapters_);
      result.factors[I].dA.setZero(adapter.rank(), adapter.dim());
      result.factors[I].dB.setZero(adapter.dim(), adapter.rank());
    });
    if (dH.empty()) return result;
    const MatrixView<Scalar> G = workspace.take<Scalar>(dH.rows, dH.cols);
    EigenCpu::copy(workspace, dH, G);
    for_each_reversed([&]<std::size_t I>() {
      if constexpr (is_pre<I>) pull_back<I>(tape, G, result.factors[I]);
    });
    const MatrixView<Scalar> dX = view_of(result.dX);
    base.multiply_adjoint(workspace, as_const(G), dX);
    for_each([&]<std::size_t I>() {
      if constexpr (!is_pre<I>) pull_back<I>(tape, dX, result.factors[I]);
    });
    return result;
  }

  /// W (d x k), of W0's scalar and order; equals merging the adapters one after the other.
  template <typename W0>
  auto merge(const W0& w0, Finiteness finiteness = Finiteness::unchecked) const {
    check_all(w0.rows(), w0.cols());
    auto result = EigenCpu::empty_like(w0);
    result = w0;
    merge_in_place(result, finiteness);
    return result;
  }
  template <typename W>
  void merge_in_place(W&& w, Finiteness finiteness = Finiteness::unchecked) const {
    const auto view = EigenCpu::output("Composition::merge_in_place", w);
    check_all(view.rows, view.cols);
    Workspace workspace;
    check_finite_all("Composition::merge_in_place", finiteness, workspace, as_const(view));
    if (view.empty()) return;
    for_each([&]<std::size_t I>() {
      const auto& adapter = std::get<I>(adapters_);
      using A = std::remove_cvref_t<decltype(adapter)>;
      detail::merge_views<typename A::Inflation, typename A::Order, typename A::Side, EigenCpu>(
          workspace, adapter.factors(), as_const(view), view);
    });
  }
  /// Undoes merge_in_place. Throws RankDeficient if any multiplier cannot be inverted; W is
  /// untouched.
  template <typename W>
  void unmerge_in_place(W&& w, Finiteness finiteness = Finiteness::unchecked) const {
    const auto view = EigenCpu::output("Composition::unmerge_in_place", w);
    using T = std::remove_cvref_t<decltype(*view.data)>;
    check_all(view.rows, view.cols);
    Workspace workspace;
    check_finite_all("Composition::unmerge_in_place", finiteness, workspace, as_const(view));
    if (view.empty()) return;
    const auto inverses = std::apply(
        [](const auto&... adapter) {
          return std::make_tuple(
              Inverse<typename std::remove_cvref_t<decltype(adapter)>::Inflation, Scalar>(
                  adapter.factors())...);
        },
        adapters_);
    for_each([&]<std::size_t I>() {
      detail::check_invertible(AdapterAt<I>::Inflation::name, std::get<I>(inverses).condition(),
                               detail::storage_epsilon<T>());
    });
    for_each_reversed([&]<std::size_t I>() {
      detail::multiply_weight<typename AdapterAt<I>::Side, Scalar, EigenCpu>(
          workspace, std::get<I>(inverses), as_const(view), view);
    });
  }

 private:
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
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      (f.template operator()<size - 1 - I>(), ...);
    }
    (std::make_index_sequence<size>{});
  }

  void check_all(Index d, Index k) const {
    for_each([&]<std::size_t I>() {
      detail::check_layer<typename AdapterAt<I>::Side>("Composition",
                                                       std::get<I>(adapters_).factors(), d, k);
    });
  }
  template <typename T>
  void check_finite_all(std::string_view function, Finiteness finiteness, Workspace& workspace,
                        const MatrixView<T>& W) const {
    for_each([&]<std::size_t I>() {
      detail::check_finiteness<EigenCpu>(function, finiteness, workspace,
                                         std::get<I>(adapters_).factors(), W);
    });
  }

  /// Calls f with the operator of adapter I for the evaluation at `route`.
  template <std::size_t I, typename F>
  void with_operator(Workspace& workspace, std::size_t route, F&& f) const {
    using A = AdapterAt<I>;
    visit_route(RoutesOf<A>{}, route, [&](auto chosen) {
      const auto frame = workspace.frame();
      const Operator<typename decltype(chosen)::Evaluation, typename A::Inflation, EigenCpu, Scalar>
          P(workspace, std::get<I>(adapters_).factors());
      f(P);
    });
  }

  template <std::size_t I>
  void push(Workspace& workspace, Tape* tape, const MatrixView<const Scalar>& in,
            const MatrixView<Scalar>& out) const {
    using A = AdapterAt<I>;
    const auto& adapter = std::get<I>(adapters_);
    const Task task = tape == nullptr ? Task::Forward : Task::Training;
    const std::size_t route = detail::cheapest<Pre, EigenCpu>(
        RoutesOf<A>{}, CallSizes{adapter.dim(), adapter.dim(), in.cols, adapter.rank()}, task,
        CostRates{}, sizeof(Scalar));
    with_operator<I>(workspace, route, [&](const auto& P) {
      Scalar* kept = nullptr;
      if (tape != nullptr) {
        auto& stage = tape->stages_[I];
        tape->routes_[I] = route;
        stage.keep_input(in);
        kept = stage.new_kept(P.kept_size(adapter.dim(), adapter.rank(), in.cols));
      }
      P.apply(workspace, in, out, kept);
    });
  }

  template <std::size_t I>
  void pull_back(Tape& tape, const MatrixView<Scalar>& G, FactorGradients& g) const {
    with_operator<I>(tape.workspace(), tape.routes_[I], [&](const auto& P) {
      const auto& stage = tape.stages_[I];
      P.vjp(tape.workspace(), as_const(G), stage.input(), stage.kept(), G, view_of(g.dA),
            view_of(g.dB));
    });
  }

  template <typename W0, typename X>
  Matrix<Scalar> run_forward(const W0& w0, const X& x, Workspace& workspace, Tape* tape) const {
    const detail::Base<EigenCpu, Scalar, W0> wrapped(w0);
    const auto base = wrapped.get();
    const auto& operand = EigenCpu::operand(x);
    const MatrixView<const Scalar> input = operand.view();
    check_all(base.rows(), base.cols());
    detail::check_shape("Composition::forward", "X (k x b)", input.rows, input.cols, base.cols(),
                        input.cols);
    if (tape != nullptr) tape->d_ = -1;
    Matrix<Scalar> result(base.rows(), input.cols);
    if (!input.empty()) {
      const auto frame = workspace.frame();
      MatrixView<const Scalar> current = input;
      constexpr bool has_post = !std::is_same_v<typename First::Side, Pre> ||
                                (!std::is_same_v<typename Rest::Side, Pre> || ...);
      MatrixView<Scalar> Z;
      if constexpr (has_post) Z = workspace.take<Scalar>(input.rows, input.cols);
      for_each_reversed([&]<std::size_t I>() {
        if constexpr (!is_pre<I>) {
          push<I>(workspace, tape, current, Z);
          current = Z;
        }
      });
      const MatrixView<Scalar> H = view_of(result);
      base.multiply(workspace, current, H);
      for_each([&]<std::size_t I>() {
        if constexpr (is_pre<I>) push<I>(workspace, tape, as_const(H), H);
      });
    }
    if (tape != nullptr) {
      tape->d_ = base.rows();
      tape->k_ = base.cols();
      tape->b_ = input.cols;
    }
    return result;
  }

  std::tuple<First, Rest...> adapters_;
};

/// An adapted weight as a base for another adapter: W of the adapter as a LinearOperator.
///   second.forward(lorma::adapted(first, W0), X)
template <typename AdapterType, typename W0>
class Adapted {
 public:
  Adapted(const AdapterType& adapter, const W0& w0) : adapter_(adapter), w0_(w0) {}
  Index rows() const { return w0_.rows(); }
  Index cols() const { return w0_.cols(); }
  template <typename X>
  auto apply(const X& x) const {
    return adapter_.forward(w0_, x);
  }
  /// W^T G.
  template <typename G>
  auto apply_adjoint(const G& g) const {
    using S = typename AdapterType::Scalar;
    const detail::Base<EigenCpu, S, W0> wrapped(w0_);
    const auto base = wrapped.get();
    Workspace workspace;
    const auto& operand = EigenCpu::operand(g);
    Matrix<S> result(cols(), g.cols());
    if constexpr (std::is_same_v<typename AdapterType::Side, Pre>) {
      const Matrix<S> inner = adapter_.apply_adjoint(g);
      base.multiply_adjoint(workspace, view_of(inner), view_of(result));
      return result;
    } else {
      base.multiply_adjoint(workspace, operand.view(), view_of(result));
      return adapter_.apply_adjoint(result);
    }
  }

 private:
  const AdapterType& adapter_;
  const W0& w0_;
};

template <typename AdapterType, typename W0>
Adapted<AdapterType, W0> adapted(const AdapterType& adapter, const W0& w0) {
  return {adapter, w0};
}

}  // namespace lorma::inline LORMA_ABI

#endif
