// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ADAPTER_MIXED_BATCH_HPP
#define LORMA_ADAPTER_MIXED_BATCH_HPP

/// One batch whose tokens belong to different adapters of the same base, as happens in a server.
///
///   using View = lorma::AdapterView<float, lorma::CyclicPermutation>;
///   std::vector<lorma::AdapterSlice<View>> slices{{french, 0, 40}, {legal, 40, 24}};
///   lorma::forward_mixed_into(H, W0, X, slices, workspace);
/// The base is multiplied once for all columns. Multipliers of the form c I + M then take two
/// grouped products for all slices together; those that turn rows share one plan and one pass over
/// the columns of all slices. Ranks and scales may differ. Columns in no slice see only the base.

#include <vector>

#include "lorma/adapter/adapter.hpp"

namespace lorma::inline LORMA_ABI {

/// Columns [first, first + count) of a batch and the adapter that they see.
template <typename View>
struct AdapterSlice {
  View adapter;
  Index first = 0;
  Index count = 0;
};

namespace detail {

/// Throws ShapeError unless slices lie within b columns, in ascending order, without overlap.
template <typename View>
void check_slices(const std::vector<AdapterSlice<View>>& slices, Index d, Index k, Index b) {
  Index end = 0;
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const auto& [adapter, first, count] = slices[i];
    check_weight<typename View::Side>("forward_mixed_into", "W0", adapter.factors(), d, k);
    if (first < end || count < 0 || count > b - first) {
      throw ShapeError("lorma::forward_mixed_into: expected ascending slices within " +
                       std::to_string(b) + " columns that share none, got slice " +
                       std::to_string(i) + " of " + std::to_string(count) + " columns from " +
                       std::to_string(first));
    }
    end = first + count;
  }
}

/// c I + M: A Y of all slices, then B times that of all slices.
template <typename View, typename Backend, typename S, typename Fill>
void apply_slices_factored(typename Backend::Workspace& workspace,
                           const std::vector<AdapterSlice<View>>& slices, const MatrixView<S>& Y,
                           Fill&& fill) {
  std::vector<MatrixView<const S>> A, B, in, projected;
  std::vector<MatrixView<S>> U, out;
  std::vector<Accumulator<S>> ones, scales;
  for (const auto& slice : slices) {
    const Factors<S> f = slice.adapter.factors();
    const MatrixView<S> part = Y.col_range(slice.first, slice.count);
    const MatrixView<S> u = workspace.template take<S>(f.rank(), slice.count);
    A.push_back(f.A);
    B.push_back(f.B);
    in.push_back(part);
    out.push_back(part);
    U.push_back(u);
    projected.push_back(u);
    ones.push_back(1);
    scales.push_back(f.scale);
  }
  fill();
  Backend::template gemm_grouped<S>(workspace, ones, A, in, 0, U);
  Backend::template gemm_grouped<S>(
      workspace, scales, B, projected,
      static_cast<Accumulator<S>>(identity_multiple<typename View::Inflation>), out);
}

/// A rotation of M on the host: one parallel pass over the columns of all slices.
template <typename View, typename Backend, typename S, typename Fill>
void apply_slices_spectral(typename Backend::Workspace& workspace,
                           const std::vector<AdapterSlice<View>>& slices, const MatrixView<S>& Y,
                           Fill&& fill) {
  using P = Operator<Spectral, typename View::Inflation, Backend, S>;
  struct Panel {
    std::size_t slice;
    Index first;
    Index count;
  };
  constexpr Index width = 16;
  std::vector<P> operators;
  std::vector<Panel> panels;
  operators.reserve(slices.size());
  for (std::size_t i = 0; i < slices.size(); ++i) {
    operators.emplace_back(workspace, slices[i].adapter.factors());
    for (Index j = 0; j < slices[i].count; j += width) {
      panels.push_back({i, slices[i].first + j, std::min(width, slices[i].count - j)});
    }
  }
  if (panels.empty()) return fill();
  auto scratch = operators.front().panels(width, {Y.order, Y.order}, width);
  const Index count = static_cast<Index>(panels.size());
  const Index tasks = std::clamp<Index>(workspace.executor().threads(), 1, count);
  scratch.take(workspace, tasks);
  fill();
  workspace.executor().parallel_for(tasks, [&](Index task) {
    for (Index i = task; i < count; i += tasks) {
      const Panel& panel = panels[static_cast<std::size_t>(i)];
      const MatrixView<S> part = Y.col_range(panel.first, panel.count);
      operators[panel.slice].apply_panel(part, part, scratch.scratch_of(task));
    }
  });
}

/// Whether a backend's Spectral takes the slices of several adapters in one call.
template <typename Inflation, typename Backend, typename S>
concept AppliesSlices = TurnsRows<Inflation> &&
    requires(typename Backend::Workspace& workspace, const std::vector<Factors<S>>& factors,
             const std::vector<MatrixView<S>>& parts) {
  Operator<Spectral, Inflation, Backend, S>::apply_slices(workspace, factors, parts);
};

/// Whether a slice is taken that way: if Spectral is its cheapest evaluation.
template <typename Inflation, typename Backend, typename S>
bool joins_spectral(const Factors<S>& f, Index columns) {
  if constexpr (AppliesSlices<Inflation, Backend, S>) {
    using Routes = MergeRoutes<Auto, Inflation>;
    const CallSizes call{f.dim(), columns, 0, f.rank()};
    return visit_route(
        Routes{}, cheapest<Inflation, Pre, Backend, S>(Routes{}, call, Task::Merge),
        [](auto route) { return std::is_same_v<typename decltype(route)::Evaluation, Spectral>; });
  } else {
    return false;
  }
}

/// The columns of every slice of Y are replaced by P_i times them after fill() has written them,
/// which is called once all lists are made.
template <typename View, typename Backend, typename S, typename Fill>
void apply_slices(typename Backend::Workspace& workspace,
                  const std::vector<AdapterSlice<View>>& slices, const MatrixView<S>& Y,
                  Fill&& fill) {
  using Inflation = typename View::Inflation;
  const auto frame = workspace.frame();
  if constexpr (AddsIdentity<Inflation>) {
    apply_slices_factored<View, Backend>(workspace, slices, Y, fill);
  } else if constexpr (TurnsRows<Inflation> && OnHost<Backend>) {
    apply_slices_spectral<View, Backend>(workspace, slices, Y, fill);
  } else {
    std::vector<Factors<S>> together;
    std::vector<MatrixView<S>> parts;
    for (const auto& slice : slices) {
      const Factors<S> f = slice.adapter.factors();
      if (!joins_spectral<Inflation, Backend, S>(f, slice.count)) continue;
      together.push_back(f);
      parts.push_back(Y.col_range(slice.first, slice.count));
    }
    fill();
    for (const auto& slice : slices) {
      const Factors<S> f = slice.adapter.factors();
      if (joins_spectral<Inflation, Backend, S>(f, slice.count)) continue;
      const MatrixView<S> part = Y.col_range(slice.first, slice.count);
      ActionOfP<S, Inflation, Auto, Backend>::apply(workspace, f, as_const(part), part, false);
    }
    if constexpr (AppliesSlices<Inflation, Backend, S>) {
      using P = Operator<Spectral, Inflation, Backend, S>;
      if (!parts.empty()) P::apply_slices(workspace, together, parts);
    }
  }
}

}  // namespace detail

/// H (d x b) of X (k x b): column j is forward of the adapter whose slice holds j. Throws
/// ShapeError, and BackendError for operands of several contexts; H is untouched then. Cost 2 d k b
/// flops and one apply of each P on its columns; allocates lists of slices in memory of the process
/// on every call, in the backend's memory nothing once warm.
template <typename View, typename W0, typename X, typename H>
void forward_mixed_into(H&& h, const W0& w0, const X& x,
                        const std::vector<AdapterSlice<View>>& slices,
                        typename View::Workspace& workspace) {
  using S = typename View::Scalar;
  using Backend = typename View::Backend;
  Door<Backend> door("forward_mixed_into", workspace);
  const detail::FrozenWeight<Backend, S, W0> weight(door, w0);
  const auto operand = door.template read<S>("X", x);
  const MatrixView<S> out = door.template write<S>("H", h);
  door.close();
  for (const auto& slice : slices) {
    Door<Backend> of_slice("forward_mixed_into", workspace);
    of_slice.read(slice.adapter.factors());
    of_slice.template write<S>("H", h);
    of_slice.close();
  }
  const MatrixView<const S> in = operand.view();
  const auto base = weight.get();
  detail::check_slices(slices, base.rows(), base.cols(), in.cols);
  detail::check_shape("forward_mixed_into", "X (k x b)", in.rows, in.cols, base.cols(), in.cols);
  detail::check_shape("forward_mixed_into", "H (d x b)", out.rows, out.cols, base.rows(), in.cols);
  if (out.empty()) return;
  detail::run_rehearsed<Backend>(workspace, [&] {
    if constexpr (std::is_same_v<typename View::Side, Pre>) {
      detail::apply_slices<View, Backend>(workspace, slices, out,
                                          [&] { base.multiply(workspace, in, out); });
    } else {
      const auto frame = workspace.frame();
      const MatrixView<S> adapted = workspace.template take<S>(in.rows, in.cols, in.order);
      detail::apply_slices<View, Backend>(workspace, slices, adapted,
                                          [&] { Backend::copy(workspace, in, adapted); });
      base.multiply(workspace, as_const(adapted), out);
    }
  });
}

}  // namespace lorma::inline LORMA_ABI

#endif
