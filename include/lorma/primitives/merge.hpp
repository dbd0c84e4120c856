// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_MERGE_HPP
#define LORMA_PRIMITIVES_MERGE_HPP

/// merge behind the door: W = P W0 (Pre) or W0 P (Post), the second as (P^T W0^T)^T: one algorithm,
/// on columns.
///
/// Cost: one apply of P on k (Pre) or d (Post) columns. A weight of half or bfloat16 is computed in
/// float, panel by panel, and rounded once.

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/backend/panels.hpp"
#include "lorma/operators/dense.hpp"
#include "lorma/operators/factored.hpp"
#include "lorma/operators/spectral.hpp"
#include "lorma/primitives/cost_model.hpp"

namespace lorma::inline LORMA_ABI {

/// Whether merge and unmerge look for NaN and infinity in W and the factors before they write, and
/// throw NonFinite if there are any. Cost: one pass over both.
enum class Finiteness : unsigned char { unchecked, checked };
inline constexpr Finiteness check_finite = Finiteness::checked;

namespace detail {

/// The weight as columns of length n that P acts on by apply (Pre) or apply_adjoint (Post).
template <typename Side, typename T>
MatrixView<T> columns_of_weight(const MatrixView<T>& W) {
  return std::is_same_v<Side, Pre> ? W : W.transposed();
}

/// to = P from (Pre) or from P (Post) by a prepared operator; `to` may be `from`.
template <typename Side, typename S, typename Backend, typename Op, typename T, typename U>
void multiply_weight(typename Backend::Workspace& workspace, const Op& P,
                     const MatrixView<const T>& from, const MatrixView<U>& to) {
  const MatrixView<const T> in = columns_of_weight<Side>(from);
  const MatrixView<U> out = columns_of_weight<Side>(to);
  const auto multiply = [&](const MatrixView<const S>& x, const MatrixView<S>& y) {
    if constexpr (std::is_same_v<Side, Pre>) {
      P.apply(workspace, x, y);
    } else {
      P.apply_adjoint(workspace, x, y);
    }
  };
  const auto act = [&](const MatrixView<const S>& x, const MatrixView<S>& y) {
    if constexpr (requires { P.panel(); }) {
      const Index width = P.panel();
      for (Index j = 0; j < x.cols; j += width) {
        const Index count = std::min(width, x.cols - j);
        multiply(x.col_range(j, count), y.col_range(j, count));
      }
    } else {
      multiply(x, y);
    }
  };
  if constexpr (std::same_as<T, S> && std::same_as<U, S>) {
    act(in, out);
  } else {
    for_panels<S, Backend>(
        workspace, in, Backend::panel_columns(workspace), StorageOrder::ColMajor,
        [&](Index j, const MatrixView<S>& panel) {
          act(panel, panel);
          Backend::copy(workspace, as_const(panel), out.col_range(j, panel.cols));
        },
        [&]([[maybe_unused]] Index columns) {
          if constexpr (requires { P.prepare(workspace, columns); }) P.prepare(workspace, columns);
        });
  }
}

/// For a merge there is no choice of where P acts, only of the evaluation.
template <typename Order, typename Inflation>
using MergeRoutes =
    std::conditional_t<(ActivationRoutesFor<Order, Inflation>::size > 0),
                       ActivationRoutesFor<Order, Inflation>, RoutesFor<Order, Inflation>>;

/// Throws ShapeError unless the side of W0 (d x k) on which P acts has P's size n.
template <typename Side, typename S>
void check_weight(std::string_view function, std::string_view what, const Factors<S>& f, Index d,
                  Index k) {
  if (Side::dim(d, k) == f.dim()) return;
  throw ShapeError("lorma::" + std::string(function) + ": expected " + std::string(what) +
                   " with " + (std::is_same_v<Side, Pre> ? "rows" : "columns") +
                   " n = " + std::to_string(f.dim()) + " (" + std::string(Side::name) + "), got " +
                   (what == "W0" ? "W0 " : "") + shape(d, k));
}

template <typename Backend, typename S, typename T>
void check_finiteness(std::string_view function, Finiteness finiteness,
                      typename Backend::Workspace& workspace, const Factors<S>& f,
                      const MatrixView<const T>& W) {
  if (finiteness == Finiteness::unchecked) return;
  const auto refuse = [function](std::string_view what) {
    throw NonFinite("lorma::" + std::string(function) + ": expected finite numbers, got NaN or " +
                    "infinity in " + std::string(what));
  };
  if (!std::isfinite(f.scale)) refuse("the scale");
  if (!Backend::is_finite(workspace, f.B)) refuse("factor B");
  if (!Backend::is_finite(workspace, f.A)) refuse("factor A");
  if (!Backend::is_finite(workspace, W)) refuse("the weight");
}

/// merge of a weight stored as T into one stored as U, by one evaluation.
template <typename Evaluation, typename S, typename Inflation, typename Side, typename Backend,
          typename T, typename U>
struct MergeRoute {
  static void run(typename Backend::Workspace& workspace, const Factors<S>& f,
                  const MatrixView<const T>& from, const MatrixView<U>& to);
};

template <typename Evaluation, typename S, typename Inflation, typename Side, typename Backend,
          typename T, typename U>
void MergeRoute<Evaluation, S, Inflation, Side, Backend, T, U>::run(
    typename Backend::Workspace& workspace, const Factors<S>& f, const MatrixView<const T>& from,
    const MatrixView<U>& to) {
  const auto frame = workspace.frame();
  const Operator<Evaluation, Inflation, Backend, S> P(workspace, f);
  multiply_weight<Side, S, Backend>(workspace, P, from, to);
}

/// merge by the cheapest evaluation of the order; `to` is `from` or shares nothing with it.
template <typename Inflation, typename Order, typename Side, typename Backend, typename S,
          typename T, typename U>
void merge_views(typename Backend::Workspace& workspace, const Factors<S>& f,
                 const MatrixView<const T>& from, const MatrixView<U>& to) {
  if (from.empty()) return;
  using Routes = MergeRoutes<Order, Inflation>;
  const CallSizes call{from.rows, from.cols, 0, f.rank()};
  const std::size_t route = cheapest<Inflation, Side, Backend, S>(Routes{}, call, Task::Merge);
  visit_route(Routes{}, route, [&](auto chosen) {
    using Route =
        MergeRoute<typename decltype(chosen)::Evaluation, S, Inflation, Side, Backend, T, U>;
    run_rehearsed<Backend>(workspace, [&] { Route::run(workspace, f, from, to); });
  });
}

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI

#endif
