// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_SPECTRAL_PANELS_HPP
#define LORMA_OPERATORS_SPECTRAL_PANELS_HPP

/// How Spectral goes through columns: tasks, the panels that each task takes, and their scratch.
///
/// Columns are taken two at a time, side by side. If some matrix is row-major, panels of it are
/// copied: reading single columns would touch every cache line.

#include <algorithm>
#include <array>
#include <initializer_list>

#include "lorma/core/workspace.hpp"
#include "lorma/fft/signal.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// The scratch of one task, for signals of N numbers.
template <typename Backend, typename S>
struct SpectralScratch {
  using C = ComplexLanes<S>;

  Signal<S> first;
  Signal<S> second;
  std::array<S*, 2> columns;  ///< N numbers each
  C* spectrum;
  C* mirrored;
  C* sum;
  C* sum_mirrored;
  C* scratch;
  S* panels;  ///< room for copies of panels that are row-major
  Index panel_size;

  /// The columns, stored one after the other: themselves, or a copy.
  MatrixView<const S> input(const MatrixView<const S>& X) {
    if (X.col_major()) return X;
    const MatrixView<S> copy = take(X.rows, X.cols);
    Workspace unused;
    Backend::copy(unused, X, copy);
    return copy;
  }
  /// Room for columns to be written.
  MatrixView<S> output(const MatrixView<S>& X) { return X.col_major() ? X : take(X.rows, X.cols); }
  /// Copies them from that room to where they belong.
  static void write(const MatrixView<S>& panel, const MatrixView<S>& X) {
    Workspace unused;
    if (!X.col_major()) Backend::copy(unused, as_const(panel), X);
  }

 private:
  MatrixView<S> take(Index rows, Index cols) {
    const MatrixView<S> panel(panels, rows, cols, rows);
    panels += panel_size;
    return panel;
  }
};

/// Divides b columns into panels and distributes them among the tasks of an executor.
template <typename Backend, typename S>
class SpectralPanels {
  static constexpr Index W = lane_count<S>;

 public:
  /// `size`: elements of a spectrum; `scratch`: what a transform needs in addition.
  SpectralPanels(Index N, Index size, Index scratch, Index b,
                 std::initializer_list<StorageOrder> orders, Index widest = 32)
      : N_(N), size_(size), scratch_(scratch), b_(b) {
    for (const StorageOrder order : orders) row_major_ += order == StorageOrder::RowMajor ? 1 : 0;
    width_ = row_major_ > 0 ? widest : 2;
  }

  Index tasks(const Workspace& workspace) const {
    return std::clamp<Index>(workspace.executor().threads(), 1,
                             std::max<Index>((b_ + width_ - 1) / width_, 1));
  }

  /// Scratch for that many tasks at a time, valid while the caller's frame is open.
  void take(Workspace& workspace, Index tasks) {
    memory_ = workspace.take_array<S>(tasks * numbers());
  }
  SpectralScratch<Backend, S> scratch_of(Index task) const {
    S* at = memory_ + task * numbers();
    auto* spectra = reinterpret_cast<ComplexLanes<S>*>(at + 6 * N_);
    return {{at, at + N_},
            {at + 2 * N_, at + 3 * N_},
            {at + 4 * N_, at + 5 * N_},
            spectra,
            spectra + size_,
            spectra + 2 * size_,
            spectra + 3 * size_,
            spectra + 4 * size_,
            at + 6 * N_ + 2 * W * (4 * size_ + scratch_),
            panel()};
  }

  /// Calls f(first column, columns, scratch) for panels of all columns, when no sum runs over them,
  /// on the threads of the workspace's executor.
  template <typename F>
  void run(Workspace& workspace, F&& f) {
    const auto frame = workspace.frame();
    const Index count = tasks(workspace);
    take(workspace, count);
    workspace.executor().parallel_for(count, [&](Index task) {
      for (Index j = task * width_; j < b_; j += count * width_) {
        f(j, std::min(width_, b_ - j), scratch_of(task));
      }
    });
  }

 private:
  Index panel() const { return row_major_ > 0 ? N_ * width_ : 0; }
  Index numbers() const { return 6 * N_ + 2 * W * (4 * size_ + scratch_) + row_major_ * panel(); }

  Index N_;
  Index size_;
  Index scratch_;
  Index b_;
  Index row_major_ = 0;
  Index width_;
  S* memory_ = nullptr;
};

}  // namespace lorma::inline LORMA_ABI::detail

#endif
