// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ADAPTER_ADAPTER_VIEW_HPP
#define LORMA_ADAPTER_ADAPTER_VIEW_HPP

/// An adapter on the caller's factors, and the one place where each operation is written.
///
///   lorma::AdapterView<float, lorma::CyclicPermutation> a(B, A, alpha / rank);   // nothing copied
///   lorma::MatrixView<const float> X(tokens, k, b, k);      // a row-major [b, k] tensor
///   a.forward_into(H, W0, X, tape);
///   a.backward_into(dX, dA, dB, W0, dH, tape, lorma::accumulate);
///
/// A matrix is an Eigen dense expression or a MatrixView; what a BLAS cannot read is copied, what
/// it cannot write is refused (core/door.hpp). Arguments come in one order: outputs, W0, inputs,
/// scratch. Every function throws ShapeError for shapes that do not fit, for outputs that share
/// memory with another operand and for a tape recorded otherwise, BackendError for operands of
/// several contexts; nothing is written then. Functions ending in `_into` allocate nothing once
/// warm, if no operand has to be copied.
/// Source: LoRMA, arXiv 2506.07621; docs/mathematics.md.

#include <memory>
#include <type_traits>
#include <vector>

#include "lorma/inflation/cyclic_permutation.hpp"
#include "lorma/inflation/identity.hpp"
#include "lorma/inflation/none.hpp"
#include "lorma/primitives/action.hpp"
#include "lorma/primitives/check_policies.hpp"
#include "lorma/primitives/unmerge.hpp"

namespace lorma::inline LORMA_ABI {

namespace detail {

/// Factors stored elsewhere, and copies of those that a BLAS cannot read.
template <typename S, typename Backend>
class BorrowedFactors {
 public:
  using Context = typename Backend::Context;

  template <typename FactorB, typename FactorA>
  BorrowedFactors(FactorB&& B, FactorA&& A, Accumulator<S> scale)
      : context_(Backend::context_of(B)) {
    static_assert(outlives_the_call<FactorB> && outlives_the_call<FactorA>,
                  "lorma: an AdapterView over a temporary matrix would dangle; name the factor "
                  "first, or use an Adapter, which owns its factors");
    Door<Backend> door("AdapterView", context_);
    factors_ = {keep(door.template read<S>("factor B", B), copy_B_),
                keep(door.template read<S>("factor A", A), copy_A_), scale, context_id<Backend>(B)};
    check_factors("AdapterView", factors_);
  }
  BorrowedFactors(const Context& context, const Factors<S>& f) : context_(context), factors_(f) {}

  const Factors<S>& factors() const { return factors_; }
  const Context& context() const { return context_; }

 private:
  using Copy = std::shared_ptr<const Readable<S>>;

  static MatrixView<const S> keep(Readable<S> factor, Copy& copy) {
    if (!factor.is_copy()) return factor.view();
    copy = std::make_shared<const Readable<S>>(std::move(factor));
    return copy->view();
  }

  [[no_unique_address]] Context context_;
  Copy copy_B_;
  Copy copy_A_;
  Factors<S> factors_;
};

}  // namespace detail

/// `Storage` determines who owns the factors: by default the caller. Const members may be called
/// from several threads at once, each with its own workspace or tape.
template <typename ScalarType, typename InflationType = Identity, typename OrderType = Auto,
          typename SideType = Pre, typename BackendType = EigenCpu,
          template <typename, typename> class Storage = detail::BorrowedFactors>
class AdapterView {
  static_assert(
      detail::CheckPolicies<ScalarType, InflationType, OrderType, SideType, BackendType>::ok);

 public:
  using Scalar = ScalarType;
  using Inflation = InflationType;
  using Order = OrderType;
  using Side = SideType;
  using Backend = BackendType;
  using Real = Accumulator<Scalar>;
  using Workspace = typename Backend::Workspace;
  using Context = typename Backend::Context;
  using MatrixType = typename Backend::template Matrix<Scalar>;
  using Tape = BasicTape<Scalar, Backend>;
  using Gradients = lorma::Gradients<Scalar, Backend>;
  using ActionGradients = lorma::ActionGradients<Scalar, Backend>;

  /// Of B (n x r) and A (r x n), which must outlive the view; P = I(s B A). A factor that has to be
  /// copied is copied now; others are read at each call, so later changes are seen. Throws
  /// ShapeError.
  template <typename FactorB, typename FactorA>
  AdapterView(FactorB&& B, FactorA&& A, Real scale)
      : storage_(std::forward<FactorB>(B), std::forward<FactorA>(A), scale) {}
  /// Of the factors of another adapter, which must outlive the view.
  template <template <typename, typename> class Other>
  requires(!std::same_as<Other<Scalar, Backend>, Storage<Scalar, Backend>>)
      AdapterView(const AdapterView<Scalar, Inflation, Order, Side, Backend, Other>& adapter)
      : storage_(adapter.context(), adapter.factors()) {}

  /// B, A and s as views. Throws ShapeError when an owner's A() or B() was given another shape.
  Factors<Scalar> factors() const { return storage_.factors(); }
  const Context& context() const { return storage_.context(); }
  Index rank() const { return factors().rank(); }  ///< r, the rank of the factors
  Index dim() const { return factors().dim(); }    ///< n, the size of I(BA)
  Real scale() const { return factors().scale; }   ///< s = alpha / r
  Real alpha() const { return scale() * static_cast<Real>(rank()); }
  Index parameters() const { return 2 * dim() * rank(); }

  /// H (d x b) of X (k x b).
  template <typename W0, typename X>
  MatrixType forward(const W0& w0, const X& x) const {
    auto workspace = Backend::make_workspace(context_of(x));
    return forward_result(w0, x, workspace);
  }
  /// The same, keeping in `tape` what backward needs; an older record is replaced.
  template <typename W0, typename X>
  MatrixType forward(const W0& w0, const X& x, Tape& tape) const {
    return forward_result(w0, x, tape);
  }
  /// Into the caller's H; `scratch` is a Workspace or a Tape.
  template <typename H, typename W0, typename X, typename Scratch>
  void forward_into(H&& h, const W0& w0, const X& x, Scratch& scratch) const {
    if constexpr (std::convertible_to<Scratch&, Tape&>) {
      run_forward(h, w0, x, scratch.workspace(), &scratch);
    } else {
      static_assert(std::convertible_to<Scratch&, Workspace&>,
                    "lorma: scratch must be the Workspace of this Backend, or a Tape of this "
                    "Scalar and Backend");
      if constexpr (std::convertible_to<Scratch&, Workspace&>) {
        run_forward(h, w0, x, scratch, nullptr);
      }
    }
  }

  /// Gradients from dH (d x b) and the tape of the last forward, whose record stays: backward may
  /// be called again.
  template <typename W0, typename DH>
  Gradients backward(const W0& w0, const DH& dh, Tape& tape) const {
    Gradients g;
    backward_into(g, w0, dh, tape);
    return g;
  }
  /// Into `g`, resized when needed; overwrites.
  template <typename W0, typename DH>
  void backward_into(Gradients& g, const W0& w0, const DH& dh, Tape& tape) const;
  /// Into the caller's matrices, any of which may be nullptr: dX (k x b), dA (r x n), dB (n x r)
  /// are overwritten, or added to with lorma::accumulate.
  template <typename DX, typename DA, typename DB, typename W0, typename DH>
  void backward_into(DX&& dx, DA&& da, DB&& db, const W0& w0, const DH& dh, Tape& tape,
                     bool accumulated = false) const;

  /// W (d x k), of W0's scalar and storage order. Throws NonFinite on request.
  template <typename W0>
  auto merge(const W0& w0, Finiteness finiteness = Finiteness::unchecked) const {
    if constexpr (needs_entries<W0>()) {
      auto workspace = Backend::make_workspace(context_of(w0));
      detail::check_weight<Side>("merge", "a weight", factors(), detail::rows_of(w0),
                                 detail::columns_of(w0));
      auto out = Backend::empty_like(w0);
      merge_into(out, w0, workspace, finiteness);
      return out;
    }
  }
  /// Into the caller's matrix (d x k), of any storage order, which may be W0 itself and may have
  /// another storage type.
  template <typename Out, typename W0>
  void merge_into(Out&& out, const W0& w0, Workspace& workspace,
                  Finiteness finiteness = Finiteness::unchecked) const;
  /// W becomes P W (Pre) or W P (Post).
  template <typename W>
  void merge_in_place(W&& w, Workspace& workspace,
                      Finiteness finiteness = Finiteness::unchecked) const {
    in_place("merge_in_place", w, workspace, finiteness, [&](const auto& f, const auto& view) {
      detail::merge_views<Inflation, Order, Side, Backend>(workspace, f, as_const(view), view);
    });
  }
  template <typename W>
  void merge_in_place(W&& w, Finiteness finiteness = Finiteness::unchecked) const {
    auto workspace = Backend::make_workspace(context());
    merge_in_place(w, workspace, finiteness);
  }
  /// Undoes merge_in_place, to a rounding error times the condition number of P. `epsilon` is that
  /// of the type that W was or will be rounded to, if that is coarser than its own. Throws
  /// RankDeficient (with the condition number) when no digit would survive; W is untouched then.
  template <typename W>
  void unmerge_in_place(W&& w, Workspace& workspace, Finiteness finiteness = Finiteness::unchecked,
                        double epsilon = 0.0) const {
    in_place("unmerge_in_place", w, workspace, finiteness, [&](const auto& f, const auto& view) {
      using T = std::remove_cvref_t<decltype(*view.data)>;
      detail::Unmerge<Scalar, Inflation, Side, Backend, T>::run(workspace, context(), f, view,
                                                                epsilon);
    });
  }
  template <typename W>
  void unmerge_in_place(W&& w, Finiteness finiteness = Finiteness::unchecked,
                        double epsilon = 0.0) const {
    auto workspace = Backend::make_workspace(context());
    unmerge_in_place(w, workspace, finiteness, epsilon);
  }

  /// P = I(BA), dense n x n, for study. Cost 2 n^2 r flops.
  MatrixType inflated() const {
    const Factors<Scalar> f = factors();
    auto workspace = Backend::make_workspace(context());
    Door<Backend> door("inflated", context());
    door.read(f);
    MatrixType result;
    Backend::resize(context(), result, f.dim(), f.dim());
    Action::inflate(workspace, f, Backend::view(result));
    return result;
  }

  /// P Y and P^T G for columns of length n: P is itself a linear operator.
  template <typename Y>
  MatrixType apply(const Y& y) const {
    return action_result(y, false);
  }
  template <typename G>
  MatrixType apply_adjoint(const G& g) const {
    return action_result(g, true);
  }
  /// Into the caller's matrix (n x b), which may be Y itself.
  template <typename Out, typename Y>
  void apply_into(Out&& out, const Y& y, Workspace& workspace) const {
    act("apply", out, y, workspace, false);
  }
  template <typename Out, typename G>
  void apply_adjoint_into(Out&& out, const G& g, Workspace& workspace) const {
    act("apply_adjoint", out, g, workspace, true);
  }
  /// Gradients of <G, P Y> in Y, A and B, for Y and G (n x b).
  template <typename Y, typename G>
  ActionGradients vjp(const Y& y, const G& g) const {
    const auto context = context_of(y);
    auto workspace = Backend::make_workspace(context);
    ActionGradients result;
    Backend::resize(context, result.dY, dim(), detail::columns_of(y));
    Backend::resize(context, result.dA, rank(), dim());
    Backend::resize(context, result.dB, dim(), rank());
    vjp_into(result.dY, result.dA, result.dB, y, g, workspace);
    return result;
  }
  /// Into the caller's matrices, any of which may be nullptr; overwritten, or added to with
  /// lorma::accumulate.
  template <typename DY, typename DA, typename DB, typename Y, typename G>
  void vjp_into(DY&& dy, DA&& da, DB&& db, const Y& y, const G& g, Workspace& workspace,
                bool accumulated = false) const {
    const Factors<Scalar> f = factors();
    Door<Backend> door("vjp", workspace);
    door.read(f);
    const auto columns = door.template read<Scalar>("Y", y);
    const auto gradient = door.template read<Scalar>("G", g);
    detail::GradientViews<Scalar> views;
    views.dX = door.template write<Scalar>("dY", dy);
    views.dA = door.template write<Scalar>("dA", da);
    views.dB = door.template write<Scalar>("dB", db);
    views.accumulate = accumulated;
    door.close();
    Action::vjp(workspace, f, columns.view(), gradient.view(), views);
  }

  /// The cost model's estimates for W0 d x k and b columns; the route taken is marked. Cost O(1).
  static std::vector<RouteEstimate> explain(
      const CallSizes& call, Task task,
      const CostRates& rates = Backend::template cost_rates<Scalar>()) {
    return detail::explain<Order, Inflation, Side, Scalar, Backend>(call, task, rates);
  }

 protected:
  Storage<Scalar, Backend> storage_;

  struct OwnedTag {};
  template <typename... Arguments>
  explicit AdapterView(OwnedTag, Arguments&&... arguments)
      : storage_(std::forward<Arguments>(arguments)...) {}

 private:
  using Action = detail::ActionOfP<Scalar, Inflation, Order, Backend>;

  template <typename X>
  static Context context_of(const X& x) {
    static_cast<void>(Backend::template takes<X>());
    return Backend::context_of(x);
  }
  template <typename W0>
  static constexpr bool needs_entries() {
    static_assert(!LinearOperator<W0, Scalar>,
                  "lorma: merge and unmerge need the entries of W0; a base that is only an "
                  "operator can be adapted (ActivationFirst) but not merged");
    return !LinearOperator<W0, Scalar>;
  }
  template <typename W0, typename X, typename Scratch>
  MatrixType forward_result(const W0& w0, const X& x, Scratch& scratch) const;
  template <typename H, typename W0, typename X>
  void run_forward(H& h, const W0& w0, const X& x, Workspace& workspace, Tape* tape) const;

  template <typename W, typename F>
  void in_place(std::string_view function, W& w, Workspace& workspace, Finiteness finiteness,
                F&& run) const {
    if constexpr (needs_entries<W>()) {
      const Factors<Scalar> f = factors();
      Door<Backend> door(function, workspace);
      door.read(f);
      const auto view = door.template write_weight<Scalar>("the weight", w);
      door.close();
      detail::check_weight<Side>(function, "a weight", f, view.rows, view.cols);
      detail::check_finiteness<Backend>(function, finiteness, workspace, f, as_const(view));
      run(f, view);
    }
  }

  template <typename Y>
  MatrixType action_result(const Y& y, bool adjoint) const {
    const auto context = context_of(y);
    auto workspace = Backend::make_workspace(context);
    MatrixType result;
    Backend::resize(context, result, dim(), detail::columns_of(y));
    act(adjoint ? "apply_adjoint" : "apply", result, y, workspace, adjoint);
    return result;
  }
  template <typename Out, typename Y>
  void act(std::string_view function, Out& out, const Y& y, Workspace& workspace,
           bool adjoint) const {
    const Factors<Scalar> f = factors();
    Door<Backend> door(function, workspace);
    door.read(f);
    const auto in = door.template read_to_replace<Scalar>("Y", y);
    const MatrixView<Scalar> to = door.template write<Scalar>("the output", out);
    door.close();
    Action::apply(workspace, f, in.view(), to, adjoint);
  }
};

// The functions in lorma::compiled that take matrices: defined outside the class, so not inline.

template <typename Scalar, typename Inflation, typename Order, typename Side, typename Backend,
          template <typename, typename> class Storage>
template <typename W0, typename X, typename Scratch>
auto AdapterView<Scalar, Inflation, Order, Side, Backend, Storage>::forward_result(
    const W0& w0, const X& x, Scratch& scratch) const -> MatrixType {
  MatrixType h;
  Backend::resize(context_of(x), h, detail::rows_of(w0), detail::columns_of(x));
  forward_into(h, w0, x, scratch);
  return h;
}

template <typename Scalar, typename Inflation, typename Order, typename Side, typename Backend,
          template <typename, typename> class Storage>
template <typename H, typename W0, typename X>
void AdapterView<Scalar, Inflation, Order, Side, Backend, Storage>::run_forward(
    H& h, const W0& w0, const X& x, Workspace& workspace, Tape* tape) const {
  const Factors<Scalar> f = factors();
  Door<Backend> door("forward", workspace);
  door.read(f);
  const detail::FrozenWeight<Backend, Scalar, W0> weight(door, w0);
  const auto in = door.template read<Scalar>("X", x);
  const MatrixView<Scalar> out = door.template write<Scalar>("H", h);
  door.close();
  using Weight = typename detail::FrozenWeight<Backend, Scalar, W0>::View;
  if constexpr (detail::has_route<Order, Inflation, Weight>()) {
    detail::Forward<Scalar, Inflation, Order, Side, Backend, Weight>::run(
        workspace, f, weight.get(), {in.view(), in.is_copy()}, out, tape);
  }
}

template <typename Scalar, typename Inflation, typename Order, typename Side, typename Backend,
          template <typename, typename> class Storage>
template <typename W0, typename DH>
void AdapterView<Scalar, Inflation, Order, Side, Backend, Storage>::backward_into(
    Gradients& g, const W0& w0, const DH& dh, Tape& tape) const {
  const auto context = context_of(dh);
  Backend::resize(context, g.dX, detail::columns_of(w0), detail::columns_of(dh));
  Backend::resize(context, g.dA, rank(), dim());
  Backend::resize(context, g.dB, dim(), rank());
  backward_into(g.dX, g.dA, g.dB, w0, dh, tape);
}

template <typename Scalar, typename Inflation, typename Order, typename Side, typename Backend,
          template <typename, typename> class Storage>
template <typename DX, typename DA, typename DB, typename W0, typename DH>
void AdapterView<Scalar, Inflation, Order, Side, Backend, Storage>::backward_into(
    DX&& dx, DA&& da, DB&& db, const W0& w0, const DH& dh, Tape& tape, bool accumulated) const {
  const Factors<Scalar> f = factors();
  Door<Backend> door("backward", tape.workspace());
  door.read(f);
  const detail::FrozenWeight<Backend, Scalar, W0> weight(door, w0);
  const auto gradient = door.template read<Scalar>("dH", dh);
  if (tape.recorded()) door.read_borrowed(tape.stage(0).borrowed());
  detail::GradientViews<Scalar> g;
  g.dX = door.template write<Scalar>("dX", dx);
  g.dA = door.template write<Scalar>("dA", da);
  g.dB = door.template write<Scalar>("dB", db);
  g.accumulate = accumulated;
  door.close();
  using Weight = typename detail::FrozenWeight<Backend, Scalar, W0>::View;
  if constexpr (detail::has_route<Order, Inflation, Weight>()) {
    detail::Backward<Scalar, Inflation, Order, Side, Backend, Weight>::run(
        f, weight.get(), gradient.view(), tape, g);
  }
}

template <typename Scalar, typename Inflation, typename Order, typename Side, typename Backend,
          template <typename, typename> class Storage>
template <typename Out, typename W0>
void AdapterView<Scalar, Inflation, Order, Side, Backend, Storage>::merge_into(
    Out&& out, const W0& w0, Workspace& workspace, Finiteness finiteness) const {
  if constexpr (needs_entries<W0>()) {
    using T = detail::stored_as<detail::scalar_of<W0>, Scalar>;
    const Factors<Scalar> f = factors();
    Door<Backend> door("merge", workspace);
    door.read(f);
    const auto from = door.template read_to_replace<T>("W0", w0);
    const auto to = door.template write_weight<Scalar>("the output", out);
    door.close();
    detail::check_weight<Side>("merge", "a weight", f, from.view().rows, from.view().cols);
    detail::check_shape("merge", "the output", to.rows, to.cols, from.view().rows,
                        from.view().cols);
    detail::check_finiteness<Backend>("merge", finiteness, workspace, f, from.view());
    detail::merge_views<Inflation, Order, Side, Backend>(workspace, f, from.view(), to);
  }
}

template <typename FactorB, typename FactorA, typename Scale>
AdapterView(FactorB&&, FactorA&&, Scale) -> AdapterView<detail::scalar_of<FactorB>>;

}  // namespace lorma::inline LORMA_ABI

#endif
