// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ADAPTER_ADAPTER_HPP
#define LORMA_ADAPTER_ADAPTER_HPP

/// A multiplicative low-rank adapter: W = I(BA) W0 (Pre) or W0 I(BA) (Post).
///
///   lorma::Adapter<float> adapter(W0.rows(), 8, 16.0F);   // LoRMA+, n = d, rank 8, alpha 16
///   std::mt19937_64 urbg(42);
///   adapter.initialize(urbg);                             // the identity map
///   lorma::Tape<float> tape;
///   auto H = adapter.forward(W0, X, tape);                // d x b
///   auto g = adapter.backward(W0, dH, tape);              // g.dX, g.dA, g.dB
///   adapter.merge_in_place(W0);                           // W0 becomes W
///
/// Policies: Inflation Identity | CyclicPermutation | None | yours; Order Auto |
/// ActivationFirst<E> | WeightFirst<E>; Side Pre | Post; Backend EigenCpu | CuBlas, whose adapters
/// are made with a context or by to<CuBlas>(context).
/// Source: LoRMA, arXiv 2506.07621. Const members may be called from several threads at once, each
/// with a workspace or tape of its own. With CuBlas that holds for adapters of different contexts
/// alone: a context, and all that was made with it, belongs to one thread at a time, so a second
/// thread takes an adapter of its own by to<CuBlas>(its context).

#include <cmath>
#include <concepts>
#include <vector>

#include "lorma/inflation/cyclic_permutation.hpp"
#include "lorma/inflation/identity.hpp"
#include "lorma/inflation/none.hpp"
#include "lorma/primitives/backward.hpp"
#include "lorma/primitives/forward.hpp"
#include "lorma/primitives/merge.hpp"
#include "lorma/primitives/unmerge.hpp"

namespace lorma::inline LORMA_ABI {

template <typename ScalarType, typename InflationPolicyType = Identity, typename OrderType = Auto,
          typename SideType = Pre, typename BackendType = EigenCpu>
class Adapter {
  static_assert(
      detail::CheckPolicies<ScalarType, InflationPolicyType, OrderType, SideType, BackendType>::ok);
  using Real = Accumulator<ScalarType>;

 public:
  using Scalar = ScalarType;
  using Inflation = InflationPolicyType;
  using Order = OrderType;
  using Side = SideType;
  using Backend = BackendType;
  using Workspace = typename Backend::Workspace;
  using Context = typename Backend::Context;
  using MatrixType = typename Backend::template Matrix<Scalar>;
  using Tape = lorma::Tape<Scalar, Backend>;
  using TapeBase = detail::TapeStorage<Scalar, Backend>;
  using Gradients = lorma::Gradients<Scalar, Backend>;

  /// Factors start zero. Throws ShapeError unless n >= 1 and rank >= 1, Error unless alpha is
  /// finite and positive.
  Adapter(Index n, Index rank, Real alpha) requires std::default_initializable<Context>
      : Adapter(Context{}, n, rank, alpha) {}
  /// The same on a device.
  Adapter(const Context& context, Index n, Index rank, Real alpha)
      : context_(context), alpha_(alpha), n_(n), rank_(rank) {
    if (n < 1 || rank < 1) {
      throw ShapeError("lorma::Adapter: expected n >= 1 and rank >= 1, got n = " +
                       std::to_string(n) + ", rank = " + std::to_string(rank));
    }
    if (!std::isfinite(alpha) || !(alpha > Real(0))) {
      throw Error("lorma::Adapter: expected a finite alpha > 0, got " + std::to_string(alpha));
    }
    set_factors(Matrix<Scalar>::Zero(n, rank), Matrix<Scalar>::Zero(rank, n));
  }

  /// The inflation's start of training (paper, section 3; docs/mathematics.md has the table).
  template <typename Urbg>
  requires RandomBits<std::remove_cvref_t<Urbg>>
  void initialize(Urbg&& urbg) {
    Matrix<Real> B = Matrix<Real>::Zero(n_, rank_);
    Matrix<Real> A = Matrix<Real>::Zero(rank_, n_);
    Inflation::initialize(view_of(B), view_of(A), scale(), urbg);
    set_factors(B.template cast<Scalar>(), A.template cast<Scalar>());
  }

  /// Copies factors of the CPU, B (n x r) and A (r x n), to where the adapter lives. Throws
  /// ShapeError.
  void set_factors(const Matrix<Scalar>& B, const Matrix<Scalar>& A) {
    check_factor_shapes(B, A);
    Backend::upload(context_, B, B_);
    Backend::upload(context_, A, A_);
  }

  /// The same adapter on another backend; factors are copied.
  template <typename Target>
  Adapter<Scalar, Inflation, Order, Side, Target> to(
      const typename Target::Context& context) const {
    Adapter<Scalar, Inflation, Order, Side, Target> result(context, n_, rank_, alpha_);
    check_factor_shapes(B_, A_);
    auto workspace = Backend::make_workspace(context_);
    const auto copy = [&](const MatrixType& m) {
      const auto host = Backend::on_host(workspace, as_const(Backend::view(m)));
      const MatrixView<const Scalar> from = detail::host_view(host);
      Matrix<Scalar> plain(from.rows, from.cols);
      lorma::Workspace unused;
      EigenCpu::copy(unused, from, view_of(plain));
      return plain;
    };
    result.set_factors(copy(B_), copy(A_));
    return result;
  }
  template <typename Target>
  requires std::default_initializable<typename Target::Context>
  auto to() const { return to<Target>(typename Target::Context{}); }

  const Context& context() const { return context_; }

  MatrixType& A() { return A_; }              ///< r x n
  const MatrixType& A() const { return A_; }  ///< r x n
  MatrixType& B() { return B_; }              ///< n x r
  const MatrixType& B() const { return B_; }  ///< n x r
  Real alpha() const { return alpha_; }
  Index rank() const { return rank_; }                              ///< r, the rank of the factors
  Index dim() const { return n_; }                                  ///< n, the size of I(BA)
  Real scale() const { return alpha_ / static_cast<Real>(rank_); }  ///< s = alpha / r
  Index parameters() const { return 2 * n_ * rank_; }

  /// What the free primitives take. Throws ShapeError when A() or B() was given another shape,
  /// BackendError when they were given different contexts.
  Factors<Scalar> factors() const {
    check_factor_shapes(B_, A_);
    detail::check_places("Adapter::factors", detail::place_of<Backend>(B_),
                         {{"factor A", detail::place_of<Backend>(A_)}});
    return {Backend::view(B_), Backend::view(A_), scale(), detail::place_of<Backend>(B_)};
  }

  /// H (d x b) of X (k x b).
  template <typename W0, typename X>
  MatrixType forward(const W0& w0, const X& x) const {
    return lorma::forward<Inflation, Order, Side, Backend>(factors(), w0, x);
  }
  /// The same, keeping in `tape` what backward needs.
  template <typename W0, typename X>
  MatrixType forward(const W0& w0, const X& x, TapeBase& tape) const {
    return lorma::forward<Inflation, Order, Side, Backend>(factors(), w0, x, tape);
  }
  /// Into the caller's H; `scratch` is a Workspace or a Tape. Allocates nothing once warm.
  template <typename H, typename W0, typename X, typename Scratch>
  void forward_into(H&& h, const W0& w0, const X& x, Scratch& scratch) const {
    lorma::forward_into<Inflation, Order, Side, Backend>(h, factors(), w0, x, scratch);
  }

  /// Gradients from dH (d x b) and the tape of the last forward.
  template <typename W0, typename DH>
  Gradients backward(const W0& w0, const DH& dh, TapeBase& tape) const {
    return lorma::backward<Inflation, Order, Side, Backend>(factors(), w0, dh, tape);
  }
  template <typename W0, typename DH>
  void backward_into(Gradients& g, const W0& w0, const DH& dh, TapeBase& tape) const {
    lorma::backward_into<Inflation, Order, Side, Backend>(g, factors(), w0, dh, tape);
  }
  /// Into the caller's matrices; dx may be nullptr.
  template <typename DX, typename DA, typename DB, typename W0, typename DH>
  void backward_into(DX&& dx, DA&& da, DB&& db, const W0& w0, const DH& dh, TapeBase& tape) const {
    lorma::backward_into<Inflation, Order, Side, Backend>(dx, da, db, factors(), w0, dh, tape);
  }

  /// W (d x k), of W0's scalar and storage order.
  template <typename W0>
  auto merge(const W0& w0, Finiteness finiteness = Finiteness::unchecked) const {
    return lorma::merge<Inflation, Order, Side, Backend>(factors(), w0, finiteness);
  }
  /// Into the caller's matrix, of any storage order, which may have another scalar than W0.
  template <typename Out, typename W0>
  void merge_into(Out&& out, const W0& w0, Workspace& workspace,
                  Finiteness finiteness = Finiteness::unchecked) const {
    lorma::merge_into<Inflation, Order, Side, Backend>(out, factors(), w0, workspace, finiteness);
  }
  /// W0 becomes W; nothing is written when something is refused.
  template <typename W>
  void merge_in_place(W&& w, Finiteness finiteness = Finiteness::unchecked) const {
    auto workspace = Backend::make_workspace(context_);
    merge_in_place(w, workspace, finiteness);
  }
  template <typename W>
  void merge_in_place(W&& w, Workspace& workspace,
                      Finiteness finiteness = Finiteness::unchecked) const {
    lorma::merge_in_place<Inflation, Order, Side, Backend>(factors(), w, workspace, finiteness);
  }
  /// W becomes W0 again, to a rounding error times the condition number of P. Throws RankDeficient
  /// when no digit would survive; W is untouched then.
  template <typename W>
  void unmerge_in_place(W&& w, Finiteness finiteness = Finiteness::unchecked) const {
    auto workspace = Backend::make_workspace(context_);
    lorma::unmerge_in_place<Inflation, Order, Side, Backend>(factors(), w, workspace, finiteness);
  }

  /// P = I(BA), dense n x n, for study. Cost 2 n^2 r flops.
  MatrixType inflated() const {
    auto workspace = Backend::make_workspace(context_);
    const auto frame = workspace.frame();
    const Factors<Scalar> f = factors();
    detail::check_places("Adapter::inflated", detail::place_of<Backend>(context_),
                         {{"the factors", f.place}});
    const Operator<Dense, Inflation, Backend, Scalar> P(workspace, f);
    MatrixType result;
    Backend::resize(context_, result, n_, n_);
    Backend::copy(workspace, as_const(P.matrix()), Backend::view(result));
    return result;
  }

  /// P Y, P^T G for columns of length n: P is itself a linear operator.
  template <typename Y>
  MatrixType apply(const Y& y) const {
    return act(
        y, [](const auto& P, auto& ws, const auto& in, const auto& out) { P.apply(ws, in, out); });
  }
  template <typename G>
  MatrixType apply_adjoint(const G& g) const {
    return act(g, [](const auto& P, auto& ws, const auto& in, const auto& out) {
      P.apply_adjoint(ws, in, out);
    });
  }

  /// The cost model's estimates for W0 d x k and b columns; the route taken is marked.
  static std::vector<RouteEstimate> explain(const CallSizes& call, Task task) {
    return lorma::explain<Order, Inflation, Side, Scalar, Backend>(call, task);
  }

 private:
  template <typename X, typename F>
  MatrixType act(const X& x, F&& f) const {
    const auto& operand = Backend::operand(x);
    const MatrixView<const Scalar> in = operand.view();
    detail::check_shape("Adapter::apply", "Y (n x b)", in.rows, in.cols, n_, in.cols);
    detail::check_places("Adapter::apply", detail::place_of<Backend>(context_),
                         {{"the factors", factors().place}, {"Y", detail::place_of<Backend>(x)}});
    MatrixType result;
    Backend::resize(context_, result, n_, in.cols);
    if (in.empty()) return result;
    using Routes = detail::MergeRoutes<Order, Inflation>;
    const CallSizes call{n_, in.cols, 0, rank_};
    visit_route(
        Routes{},
        detail::cheapest<Pre, Backend>(Routes{}, call, Task::Merge,
                                       Backend::template cost_rates<Scalar>(), sizeof(Scalar)),
        [&](auto route) {
          auto workspace = Backend::make_workspace(context_);
          const auto frame = workspace.frame();
          const Operator<typename decltype(route)::Evaluation, Inflation, Backend, Scalar> P(
              workspace, factors());
          f(P, workspace, in, Backend::view(result));
        });
    return result;
  }

  template <typename FactorB, typename FactorA>
  void check_factor_shapes(const FactorB& B, const FactorA& A) const {
    detail::check_shape("Adapter", "factor B (n x r)", B.rows(), B.cols(), n_, rank_);
    detail::check_shape("Adapter", "factor A (r x n)", A.rows(), A.cols(), rank_, n_);
  }

  [[no_unique_address]] Context context_;
  Real alpha_;
  Index n_;
  Index rank_;
  MatrixType B_;
  MatrixType A_;
};

}  // namespace lorma::inline LORMA_ABI

#endif
