// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_VIEW_HPP
#define LORMA_CORE_VIEW_HPP

/// Non-owning matrices as a BLAS sees them: a pointer, two sizes, one leading dimension, one order.
///
/// All algorithms of lorma are written for MatrixView, so both storage orders, blocks and
/// transposes share the same code, on the CPU as on a device (the pointer is then never
/// dereferenced on the host). The rotation of LoRMA_pi is such a view too (docs/mathematics.md).

#include <type_traits>

#include "lorma/core/types.hpp"

namespace lorma::inline LORMA_ABI {

enum class StorageOrder : unsigned char { ColMajor, RowMajor };

/// rows x cols elements; element (i, j) is data[i + j ld] (ColMajor) or data[i ld + j].
template <typename T>
struct MatrixView {
  T* data = nullptr;
  Index rows = 0;
  Index cols = 0;
  Index ld = 0;
  StorageOrder order = StorageOrder::ColMajor;

  constexpr MatrixView() = default;
  constexpr MatrixView(T* data_, Index rows_, Index cols_, Index ld_,
                       StorageOrder order_ = StorageOrder::ColMajor)
      : data(data_), rows(rows_), cols(cols_), ld(ld_), order(order_) {}

  /// A view of const elements from one of mutable elements.
  template <typename U>
  requires(std::is_const_v<T>&& std::same_as<U, std::remove_const_t<T>>) constexpr MatrixView(
      const MatrixView<U>& other)  // NOLINT(google-explicit-constructor)
      : data(other.data), rows(other.rows), cols(other.cols), ld(other.ld), order(other.order) {}

  constexpr bool col_major() const { return order == StorageOrder::ColMajor; }
  constexpr bool empty() const { return rows == 0 || cols == 0; }
  constexpr Index row_stride() const { return col_major() ? 1 : ld; }
  constexpr Index col_stride() const { return col_major() ? ld : 1; }
  constexpr T& operator()(Index i, Index j) const {
    return data[i * row_stride() + j * col_stride()];
  }

  constexpr MatrixView transposed() const {
    return {data, cols, rows, ld, col_major() ? StorageOrder::RowMajor : StorageOrder::ColMajor};
  }
  constexpr MatrixView block(Index i, Index j, Index block_rows, Index block_cols) const {
    return {data + i * row_stride() + j * col_stride(), block_rows, block_cols, ld, order};
  }
  constexpr MatrixView col_range(Index j, Index count) const { return block(0, j, rows, count); }
  constexpr MatrixView row_range(Index i, Index count) const { return block(i, 0, count, cols); }

  /// Same elements at the same places.
  template <typename U>
  constexpr bool same_place(const MatrixView<U>& other) const {
    return static_cast<const void*>(data) == static_cast<const void*>(other.data) &&
           rows == other.rows && cols == other.cols && ld == other.ld && order == other.order;
  }
};

template <typename T>
MatrixView(T*, Index, Index, Index, StorageOrder) -> MatrixView<T>;

/// A view with the elements const, for deduction at call sites.
template <typename T>
constexpr MatrixView<const T> as_const(const MatrixView<T>& view) {
  return view;
}

}  // namespace lorma::inline LORMA_ABI

#endif
