// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_BACKEND_PANELS_HPP
#define LORMA_BACKEND_PANELS_HPP

/// The one place where a stored matrix (half, bfloat16) becomes numbers to compute with: by panels
/// of columns, so that no copy of the whole is made.

#include <algorithm>

#include "lorma/core/view.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// Calls f(first, panel) with `width` columns of `from` at a time, as numbers of S in scratch of
/// the order given, which f may write. Before the first, prepare(columns) is called for each number
/// of columns that comes.
template <typename S, typename Backend, typename T, typename F, typename Prepare>
void for_panels(typename Backend::Workspace& workspace, const MatrixView<const T>& from,
                Index width, StorageOrder order, F&& f, Prepare&& prepare) {
  const auto frame = workspace.frame();
  const MatrixView<S> buffer =
      workspace.template take<S>(from.rows, std::min(width, from.cols), order);
  prepare(std::min(width, from.cols));
  prepare(from.cols % width);
  for (Index j = 0; j < from.cols; j += width) {
    const MatrixView<S> panel = buffer.col_range(0, std::min(width, from.cols - j));
    Backend::copy(workspace, from.col_range(j, panel.cols), panel);
    f(j, panel);
  }
}

/// C = alpha A B + beta C with A converted by panels of rows.
template <typename Backend, typename T, typename S>
void gemm_by_panels(typename Backend::Workspace& workspace, Accumulator<S> alpha,
                    const MatrixView<const T>& A, const MatrixView<const S>& B, Accumulator<S> beta,
                    const MatrixView<S>& C, Index rows) {
  const MatrixView<const T> from = A.transposed();
  for_panels<S, Backend>(
      workspace, from, rows, from.order,
      [&](Index i, const MatrixView<S>& panel) {
        Backend::gemm(workspace, alpha, as_const(panel.transposed()), B, beta,
                      C.row_range(i, panel.cols));
      },
      [](Index) {});
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
