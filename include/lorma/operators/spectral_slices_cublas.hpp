// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_SPECTRAL_SLICES_CUBLAS_HPP
#define LORMA_OPERATORS_SPECTRAL_SLICES_CUBLAS_HPP

/// Spectral by cuFFT for several adapters of one n at once: the factors of all are transformed in
/// one call, and so are the columns of all, and their products. A plan is made for the totals, not
/// for each slice, whose sizes change from batch to batch.
///
/// Columns are taken in batches whose products fill CudaOptions::spectral_bytes at most.

#include <algorithm>
#include <vector>

#include "lorma/core/factors.hpp"
#include "lorma/cuda/kernel_arguments.hpp"
#include "lorma/cuda/transforms.hpp"

namespace lorma::inline LORMA_ABI::detail {

template <typename S>
class SpectralSlices {
  using R = Accumulator<S>;

 public:
  /// Refers to `factors` and `parts`, of which there is at least one each.
  SpectralSlices(DeviceWorkspace& workspace, const std::vector<Factors<S>>& factors,
                 const std::vector<MatrixView<S>>& parts)
      : workspace_(workspace),
        factors_(factors),
        parts_(parts),
        n_(factors.front().dim()),
        spectrum_(2 * (n_ / 2 + 1)) {}

  /// Each part becomes P_i of itself.
  void apply() {
    const auto frame = workspace_.frame();
    const std::vector<Batch> batches = cut();
    if (batches.empty()) return;
    Index ranks = 0;
    for (const Factors<S>& f : factors_) ranks += f.rank();
    // All batches but the last are transformed as the widest, so that two plans do for any number.
    Batch widest = batches.back();
    for (const Batch& batch : batches) {
      widest.columns = std::max(widest.columns, batch.columns);
      widest.products = std::max(widest.products, batch.products);
    }
    const auto other = [](Index last, Index most) { return last == most ? 0 : last; };
    const Transforms<R> of_A(workspace_, n_, ranks, 0, {.backward = false});
    const Transforms<R> narrow(workspace_, n_, widest.columns,
                               other(batches.back().columns, widest.columns), {.backward = false});
    const Transforms<R> wide(workspace_, n_, widest.products,
                             other(batches.back().products, widest.products), {.forward = false});
    void* work = workspace_.template take_array<std::byte>(
        static_cast<Index>(std::max({of_A.work_bytes(), narrow.work_bytes(), wide.work_bytes()})));
    spectra_A_ = workspace_.template take_array<R>(spectrum_ * ranks);
    real_ = workspace_.template take_array<R>(n_ * std::max(ranks, widest.products));
    columns_ = workspace_.template take_array<R>(spectrum_ * widest.columns);
    products_ = workspace_.template take_array<R>(spectrum_ * widest.products);

    Index at = 0;
    for (const Factors<S>& f : factors_) {
      kernel_copy(workspace_.context(), 1.0, f.A.transposed(), reals(at, f.rank()));
      at += f.rank();
    }
    of_A.forward(work, ranks, real_, spectra_A_);
    for (const Batch& batch : batches) {
      const Batch& size = &batch == &batches.back() ? batch : widest;
      load(batch);
      narrow.forward(work, size.columns, real_, columns_);
      correlate(batch);
      wide.backward(work, size.products, products_, real_);
      gather(batch);
    }
  }

 private:
  /// Columns [first, first + count) of one part, and where what belongs to them begins.
  struct Piece {
    std::size_t part;
    Index first, count;
    Index rank_at;     ///< of its factors' spectra
    Index column_at;   ///< of its columns in the batch
    Index product_at;  ///< of the r products of each
  };
  struct Batch {
    std::vector<Piece> pieces;
    Index columns = 0;
    Index products = 0;
  };

  std::vector<Batch> cut() const {
    const auto bytes = static_cast<std::size_t>(spectrum_) * sizeof(R);
    const auto most = static_cast<Index>(workspace_.context().options().spectral_bytes / bytes);
    std::vector<Batch> batches;
    Index rank_at = 0;
    for (std::size_t i = 0; i < parts_.size(); ++i) {
      const Index r = factors_[i].rank();
      for (Index j = 0; j < parts_[i].cols;) {
        const Index room = batches.empty() ? 0 : (most - batches.back().products) / r;
        if (room < 1) batches.emplace_back();
        Batch& batch = batches.back();
        const Index fits = room < 1 ? std::max<Index>(1, most / r) : room;
        const Index count = std::min(fits, parts_[i].cols - j);
        batch.pieces.push_back({i, j, count, rank_at, batch.columns, batch.products});
        batch.columns += count;
        batch.products += r * count;
        j += count;
      }
      rank_at += r;
    }
    return batches;
  }

  MatrixView<R> reals(Index column, Index count) const {
    return {real_ + n_ * column, n_, count, n_};
  }
  MatrixView<S> columns_of(const Piece& piece) const {
    return parts_[piece.part].col_range(piece.first, piece.count);
  }
  LormaCudaCirculants sizes(const Piece& piece) const {
    return circulant_sizes<R>(n_, factors_[piece.part].rank(), piece.count);
  }

  void load(const Batch& batch) const {
    for (const Piece& piece : batch.pieces) {
      kernel_copy(workspace_.context(), 1.0, columns_of(piece),
                  reals(piece.column_at, piece.count));
    }
  }
  void correlate(const Batch& batch) const {
    for (const Piece& piece : batch.pieces) {
      check_cuda("lorma_cuda_correlate",
                 lorma_cuda_correlate(workspace_.context().stream(), sizes(piece),
                                      spectra_A_ + spectrum_ * piece.rank_at,
                                      columns_ + spectrum_ * piece.column_at,
                                      products_ + spectrum_ * piece.product_at));
    }
  }
  void gather(const Batch& batch) const {
    for (const Piece& piece : batch.pieces) {
      const Factors<S>& f = factors_[piece.part];
      check_cuda("lorma_cuda_gather",
                 lorma_cuda_gather(workspace_.context().stream(), sizes(piece),
                                   static_cast<double>(f.scale) / static_cast<double>(n_),
                                   kernel_matrix(f.B), real_ + n_ * piece.product_at,
                                   kernel_matrix(columns_of(piece))));
    }
  }

  DeviceWorkspace& workspace_;
  const std::vector<Factors<S>>& factors_;
  const std::vector<MatrixView<S>>& parts_;
  Index n_;
  Index spectrum_;  ///< numbers of one
  R* spectra_A_ = nullptr;
  R* real_ = nullptr;      ///< what goes into a transform, or comes out
  R* columns_ = nullptr;   ///< F y_c
  R* products_ = nullptr;  ///< conj(F A_q) F y_c
};

}  // namespace lorma::inline LORMA_ABI::detail

#endif
