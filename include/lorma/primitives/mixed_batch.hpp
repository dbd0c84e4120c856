// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_MIXED_BATCH_HPP
#define LORMA_PRIMITIVES_MIXED_BATCH_HPP

/// One batch whose tokens belong to different adapters of the same base, as a server has it.
///
///   std::vector<lorma::AdapterSlice<float>> slices{{french.factors(), 0, 40},
///                                                  {legal.factors(), 40, 24}};
///   lorma::forward_mixed_into<lorma::Identity>(H, W0, X, slices, workspace);
/// The base is multiplied once for all columns; the adapters of Identity and None then take two
/// grouped products for all slices together. Ranks and scales may differ. Columns in no slice see
/// the base alone.

#include <vector>

#include "lorma/primitives/forward.hpp"

namespace lorma::inline LORMA_ABI {

/// Columns [first, first + count) of a batch and the factors that they see.
template <ElementScalar S>
struct AdapterSlice {
  Factors<S> factors;
  Index first = 0;
  Index count = 0;
};

namespace detail {

/// Throws ShapeError unless slices lie within b columns, in ascending order, without overlap.
template <typename Side, typename S>
void check_slices(const std::vector<AdapterSlice<S>>& slices, Index d, Index k, Index b) {
  Index end = 0;
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const AdapterSlice<S>& slice = slices[i];
    check_layer<Side>("forward_mixed_into", slice.factors, d, k);
    if (slice.first < end || slice.count < 0 || slice.count > b - slice.first) {
      throw ShapeError("lorma::forward_mixed_into: expected ascending slices within " +
                       std::to_string(b) + " columns that share none, got slice " +
                       std::to_string(i) + " of " + std::to_string(slice.count) + " columns from " +
                       std::to_string(slice.first));
    }
    end = slice.first + slice.count;
  }
}

/// The columns of every slice of Y become P_i of themselves.
template <typename Inflation, typename Backend, typename S>
void apply_slices(typename Backend::Workspace& workspace,
                  const std::vector<AdapterSlice<S>>& slices, const MatrixView<S>& Y) {
  const auto frame = workspace.frame();
  if constexpr (requires { Inflation::adds_identity; }) {
    constexpr bool keep = Inflation::adds_identity;
    std::vector<MatrixView<const S>> A, B, in, projected;
    std::vector<MatrixView<S>> U, out;
    std::vector<Accumulator<S>> ones, scales;
    for (const AdapterSlice<S>& slice : slices) {
      const MatrixView<S> part = Y.col_range(slice.first, slice.count);
      const MatrixView<S> u = workspace.template take<S>(slice.factors.rank(), slice.count);
      A.push_back(slice.factors.A);
      B.push_back(slice.factors.B);
      in.push_back(part);
      out.push_back(part);
      U.push_back(u);
      projected.push_back(u);
      ones.push_back(1);
      scales.push_back(slice.factors.scale);
    }
    Backend::template gemm_grouped<S>(workspace, ones, A, in, 0, U);
    Backend::template gemm_grouped<S>(workspace, scales, B, projected, keep ? 1 : 0, out);
  } else {
    using Routes = MergeRoutes<Auto, Inflation>;
    for (const AdapterSlice<S>& slice : slices) {
      if (slice.count == 0) continue;
      const MatrixView<S> part = Y.col_range(slice.first, slice.count);
      const CallSizes call{Y.rows, slice.count, 0, slice.factors.rank()};
      const std::size_t route = cheapest<Pre, Backend>(
          Routes{}, call, Task::Merge, Backend::template cost_rates<S>(), sizeof(S));
      visit_route(Routes{}, route, [&](auto chosen) {
        const auto inner = workspace.frame();
        const Operator<typename decltype(chosen)::Evaluation, Inflation, Backend, S> P(
            workspace, slice.factors);
        P.apply(workspace, as_const(part), part);
      });
    }
  }
}

}  // namespace detail

/// H (d x b) of X (k x b): column j is forward of the adapter whose slice holds j. Throws
/// ShapeError, and BackendError for operands of several contexts; H is untouched then. Cost 2 d k b
/// flops and one apply of each P on its columns; allocates lists of slices in memory of the process
/// on every call, in the backend's memory nothing once warm.
template <typename Inflation, typename Side = Pre, typename Backend = EigenCpu, typename S,
          typename W0, typename X, typename H>
void forward_mixed_into(H&& h, const W0& w0, const X& x, const std::vector<AdapterSlice<S>>& slices,
                        typename Backend::Workspace& workspace) {
  static_assert(detail::CheckPolicies<S, Inflation, Auto, Side, Backend>::ok);
  const void* here = detail::place_of<Backend>(workspace);
  detail::check_places("forward_mixed_into", here,
                       {{"W0", detail::place_of<Backend>(w0)},
                        {"X", detail::place_of<Backend>(x)},
                        {"H", detail::place_of<Backend>(h)}});
  for (const AdapterSlice<S>& slice : slices) {
    detail::check_places("forward_mixed_into", here, {{"a slice's factors", slice.factors.place}});
  }
  const detail::Base<Backend, S, W0> wrapped(w0);
  const auto base = wrapped.get();
  const auto& operand = Backend::operand(x);
  const MatrixView<const S> in = operand.view();
  const MatrixView<S> out = Backend::output("forward_mixed_into", h);
  detail::check_slices<Side>(slices, base.rows(), base.cols(), in.cols);
  detail::check_shape("forward_mixed_into", "X (k x b)", in.rows, in.cols, base.cols(), in.cols);
  detail::check_shape("forward_mixed_into", "H (d x b)", out.rows, out.cols, base.rows(), in.cols);
  detail::check_no_overlap("forward_mixed_into", "H", as_const(out), "X", in);
  if (out.empty()) return;
  if constexpr (std::is_same_v<Side, Pre>) {
    base.multiply(workspace, in, out);
    detail::apply_slices<Inflation, Backend, S>(workspace, slices, out);
  } else {
    const auto frame = workspace.frame();
    const MatrixView<S> adapted = workspace.template take<S>(in.rows, in.cols, in.order);
    Backend::copy(workspace, in, adapted);
    detail::apply_slices<Inflation, Backend, S>(workspace, slices, adapted);
    base.multiply(workspace, as_const(adapted), out);
  }
}

}  // namespace lorma::inline LORMA_ABI

#endif
