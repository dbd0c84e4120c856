// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_MERGE_HPP
#define LORMA_PRIMITIVES_MERGE_HPP

/// merge: W = P W0 (Pre) or W0 P (Post), the second as (P^T W0^T)^T: one algorithm, on columns.
///
/// Cost: one apply of P on k (Pre) or d (Post) columns. A weight of half or bfloat16 is computed in
/// float by panels and rounded once.

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/operators/dense.hpp"
#include "lorma/operators/factored.hpp"
#include "lorma/operators/spectral.hpp"
#include "lorma/primitives/check_policies.hpp"
#include "lorma/primitives/cost_model.hpp"
#include "lorma/primitives/linear_operator.hpp"
#include "lorma/primitives/places.hpp"

namespace lorma::inline LORMA_ABI {

/// Whether merge and unmerge look for NaN and infinity in W and the factors before they write.
enum class Finiteness : unsigned char { unchecked, checked };
inline constexpr Finiteness check_finite = Finiteness::checked;

namespace detail {

/// Calls f(in, out) with views of columns of length n that P acts on by apply (Pre) or
/// apply_adjoint (Post, on the transposes), in the compute type S: the weights themselves, or
/// panels converted from and to their storage types. Before panels are written, prepare(columns) is
/// called for each number of columns that f will see.
template <typename Side, typename S, typename Backend, typename T, typename U, typename F,
          typename Prepare>
void for_columns(typename Backend::Workspace& workspace, const MatrixView<T>& from,
                 const MatrixView<U>& to, F&& f, Prepare&& prepare) {
  constexpr bool pre = std::is_same_v<Side, Pre>;
  const MatrixView<const T> in = pre ? from : from.transposed();
  const MatrixView<U> out = pre ? to : to.transposed();
  if constexpr (std::same_as<std::remove_const_t<T>, S> && std::same_as<U, S>) {
    f(in, out);
  } else {
    const Index panel = Backend::panel_columns(workspace);
    const auto frame = workspace.frame();
    const MatrixView<S> buffer =
        workspace.template take<S>(in.rows, std::min(panel, in.cols), StorageOrder::ColMajor);
    prepare(std::min(panel, in.cols));
    prepare(in.cols % panel);
    for (Index j = 0; j < in.cols; j += panel) {
      const Index count = std::min(panel, in.cols - j);
      const MatrixView<S> part = buffer.col_range(0, count);
      Backend::copy(workspace, in.col_range(j, count), part);
      f(as_const(part), part);
      Backend::copy(workspace, as_const(part), out.col_range(j, count));
    }
  }
}

/// to = P from (Pre) or from P (Post) by a prepared operator; `to` may be `from`.
template <typename Side, typename S, typename Backend, typename Op, typename T, typename U>
void multiply_weight(typename Backend::Workspace& workspace, const Op& P, const MatrixView<T>& from,
                     const MatrixView<U>& to) {
  const auto multiply = [&](const auto& in, const auto& out) {
    if constexpr (std::is_same_v<Side, Pre>) {
      P.apply(workspace, in, out);
    } else {
      P.apply_adjoint(workspace, in, out);
    }
  };
  const auto act = [&](const auto& in, const auto& out) {
    if constexpr (requires { P.panel(); }) {
      const Index width = P.panel();
      for (Index j = 0; j < in.cols; j += width) {
        const Index count = std::min(width, in.cols - j);
        multiply(in.col_range(j, count), out.col_range(j, count));
      }
    } else {
      multiply(in, out);
    }
  };
  const auto prepare = [&]([[maybe_unused]] Index columns) {
    if constexpr (requires { P.prepare(workspace, columns); }) P.prepare(workspace, columns);
  };
  for_columns<Side, S, Backend>(workspace, from, to, act, prepare);
}

/// Where P acts is no question for a merge; only the evaluation is.
template <typename Order, typename Inflation>
using MergeRoutes =
    std::conditional_t<(ActivationRoutesFor<Order, Inflation>::size > 0),
                       ActivationRoutesFor<Order, Inflation>, RoutesFor<Order, Inflation>>;

template <typename Inflation, typename Order, typename Side, typename Backend, typename S,
          typename T, typename U>
void merge_views(typename Backend::Workspace& workspace, const Factors<S>& f,
                 const MatrixView<T>& from, const MatrixView<U>& to) {
  if (from.empty()) return;
  using Routes = MergeRoutes<Order, Inflation>;
  const CallSizes call{from.rows, from.cols, 0, f.rank()};
  const std::size_t route = cheapest<Side, Backend>(Routes{}, call, Task::Merge,
                                                    Backend::template cost_rates<S>(), sizeof(S));
  visit_route(Routes{}, route, [&](auto chosen) {
    const auto frame = workspace.frame();
    const Operator<typename decltype(chosen)::Evaluation, Inflation, Backend, S> P(workspace, f);
    multiply_weight<Side, S, Backend>(workspace, P, from, to);
  });
}

template <typename Side, typename S>
void check_weight(std::string_view function, const Factors<S>& f, Index rows, Index cols) {
  check_factors(function, f);
  const Index n = Side::dim(rows, cols);
  if (n == f.dim()) return;
  throw ShapeError("lorma::" + std::string(function) + ": expected a weight with " +
                   (std::is_same_v<Side, Pre> ? "rows" : "columns") +
                   " n = " + std::to_string(f.dim()) + " (" + std::string(Side::name) + "), got " +
                   shape(rows, cols));
}

template <typename Backend, typename S, typename T>
void check_finiteness(std::string_view function, Finiteness finiteness,
                      typename Backend::Workspace& workspace, const Factors<S>& f,
                      const MatrixView<T>& W) {
  if (finiteness == Finiteness::unchecked) return;
  const auto refuse = [function](std::string_view what) {
    throw NonFinite("lorma::" + std::string(function) + ": expected finite numbers, got NaN or " +
                    "infinity in " + std::string(what));
  };
  if (!Backend::is_finite(workspace, f.B)) refuse("factor B");
  if (!Backend::is_finite(workspace, f.A)) refuse("factor A");
  if (!Backend::is_finite(workspace, W)) refuse("the weight");
}

template <typename S, typename W0>
constexpr void require_entries() {
  static_assert(!LinearOperator<W0, S>,
                "lorma: merge and unmerge need the entries of W0; a base that is only an operator "
                "can be adapted (ActivationFirst) but not merged");
}

}  // namespace detail

/// W = merge of W0 (d x k) into `out` (d x k, may be W0 itself; may have another storage type).
/// Throws ShapeError, BackendError for operands of several contexts, and NonFinite on request,
/// before anything is written.
template <typename Inflation, typename Order = Auto, typename Side = Pre,
          typename Backend = EigenCpu, typename S, typename W0, typename Out>
void merge_into(Out&& out, const Factors<S>& f, const W0& w0,
                typename Backend::Workspace& workspace,
                Finiteness finiteness = Finiteness::unchecked) {
  static_assert(detail::CheckPolicies<S, Inflation, Order, Side, Backend>::ok);
  detail::require_entries<S, W0>();
  if constexpr (!LinearOperator<W0, S>) {
    detail::check_places("merge", detail::place_of<Backend>(workspace),
                         {{"the factors", f.place},
                          {"W0", detail::place_of<Backend>(w0)},
                          {"the output", detail::place_of<Backend>(out)}});
    const detail::Base<Backend, S, W0> base(w0);
    const auto from = base.get().W;
    const auto to = Backend::output("merge_into", out);
    detail::check_weight<Side>("merge", f, from.rows, from.cols);
    detail::check_shape("merge", "the output", to.rows, to.cols, from.rows, from.cols);
    detail::check_finiteness<Backend>("merge", finiteness, workspace, f, from);
    detail::merge_views<Inflation, Order, Side, Backend>(workspace, f, from, to);
  }
}

/// The merged weight (d x k), of W0's scalar type and storage order.
template <typename Inflation, typename Order = Auto, typename Side = Pre,
          typename Backend = EigenCpu, typename S, typename W0>
auto merge(const Factors<S>& f, const W0& w0, Finiteness finiteness = Finiteness::unchecked) {
  detail::require_entries<S, W0>();
  if constexpr (!LinearOperator<W0, S>) {
    auto workspace = Backend::make_workspace(Backend::context_of(w0));
    detail::check_weight<Side>("merge", f, w0.rows(), w0.cols());
    auto out = Backend::empty_like(w0);
    merge_into<Inflation, Order, Side, Backend>(out, f, w0, workspace, finiteness);
    return out;
  }
}

/// W becomes P W (Pre) or W P (Post). Everything that can fail fails before the first write.
template <typename Inflation, typename Order = Auto, typename Side = Pre,
          typename Backend = EigenCpu, typename S, typename W>
void merge_in_place(const Factors<S>& f, W&& w, typename Backend::Workspace& workspace,
                    Finiteness finiteness = Finiteness::unchecked) {
  static_assert(detail::CheckPolicies<S, Inflation, Order, Side, Backend>::ok);
  detail::check_places("merge_in_place", detail::place_of<Backend>(workspace),
                       {{"the factors", f.place}, {"the weight", detail::place_of<Backend>(w)}});
  const auto view = Backend::output("merge_in_place", w);
  using T = std::remove_cvref_t<decltype(*view.data)>;
  static_assert(StorableIn<T, S>,
                "lorma: the weight must have the adapter's Scalar, or be half or bfloat16 with a "
                "float adapter");
  detail::check_weight<Side>("merge_in_place", f, view.rows, view.cols);
  detail::check_finiteness<Backend>("merge_in_place", finiteness, workspace, f, view);
  detail::merge_views<Inflation, Order, Side, Backend>(workspace, f, as_const(view), view);
}

}  // namespace lorma::inline LORMA_ABI

#endif
