// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_EIGEN_VIEW_HPP
#define LORMA_CORE_EIGEN_VIEW_HPP

/// Between Eigen expressions and MatrixView: the strides of a matrix in memory, the view that a
/// BLAS can read if there is one, and the Eigen Map over a view.

#include <limits>
#include <optional>
#include <type_traits>

#include "lorma/core/error.hpp"
#include "lorma/core/view.hpp"

namespace lorma::inline LORMA_ABI {

namespace detail {

template <typename D>
std::true_type is_dense(const Eigen::DenseBase<D>*);
std::false_type is_dense(const void*);

template <typename T>
inline constexpr bool is_matrix_view = false;
template <typename T>
inline constexpr bool is_matrix_view<MatrixView<T>> = true;

}  // namespace detail

/// Any dense Eigen expression, including types derived from one.
template <typename T>
concept EigenDense =
    decltype(detail::is_dense(static_cast<std::remove_cvref_t<T>*>(nullptr)))::value;

/// What a caller may pass as a matrix in memory of the process.
template <typename T>
concept HostMatrix = EigenDense<T> || detail::is_matrix_view<std::remove_cvref_t<T>>;

namespace detail {

/// The largest size or leading dimension that the host's product takes.
#ifdef EIGEN_USE_BLAS
inline constexpr Index max_dimension = std::numeric_limits<int>::max();
#else
inline constexpr Index max_dimension = std::numeric_limits<Index>::max();
#endif

/// A caller's matrix in memory: any strides, in elements, including zero, negative or overlapping
/// ones.
template <typename T>
struct Strided {
  T* data;
  Index rows;
  Index cols;
  Index row_stride;
  Index col_stride;
};

/// Whether an expression has its elements in memory.
template <typename X>
constexpr bool has_elements() {
  if constexpr (EigenDense<X>) {
    using Derived = std::remove_cvref_t<decltype(std::declval<const X&>().derived())>;
    return (int(Derived::Flags) & Eigen::DirectAccessBit) != 0;
  } else {
    return true;
  }
}

template <typename T>
Strided<T> strided(const MatrixView<T>& view) {
  return {view.data, view.rows, view.cols, view.row_stride(), view.col_stride()};
}
template <EigenDense X>
requires(has_elements<std::remove_cvref_t<X>>()) auto strided(X&& x) {
  auto&& m = x.derived();
  using T = std::remove_pointer_t<decltype(m.data())>;
  constexpr bool row_major = std::remove_cvref_t<decltype(m)>::IsRowMajor;
  return Strided<T>{m.data(), m.rows(), m.cols(), row_major ? m.outerStride() : m.innerStride(),
                    row_major ? m.innerStride() : m.outerStride()};
}

/// The view of the same elements that a BLAS can read: one stride is 1, the other at least the
/// length of a line. No stride is altered except that of a single line, which is never used.
/// `most` bounds the other.
template <typename T>
std::optional<MatrixView<T>> blas_view(const Strided<T>& m, Index most = max_dimension) {
  const auto line_of = [most](Index inner, Index inner_stride, Index outer, Index outer_stride) {
    const Index least = std::max<Index>(1, inner);
    if (inner_stride != 1 && inner > 1) return Index(0);
    if (outer <= 1) return least;
    return outer_stride >= least && outer_stride <= most ? outer_stride : Index(0);
  };
  if (m.rows == 0 || m.cols == 0) {
    return MatrixView<T>(m.data, m.rows, m.cols, std::max<Index>(1, m.rows));
  }
  if (const Index ld = line_of(m.rows, m.row_stride, m.cols, m.col_stride); ld > 0) {
    return MatrixView<T>(m.data, m.rows, m.cols, ld, StorageOrder::ColMajor);
  }
  if (const Index ld = line_of(m.cols, m.col_stride, m.rows, m.row_stride); ld > 0) {
    return MatrixView<T>(m.data, m.rows, m.cols, ld, StorageOrder::RowMajor);
  }
  return std::nullopt;
}

/// Whether a view of an expression may outlive the full expression it was made in: an lvalue, or a
/// Map, block or transpose of one. A temporary matrix may not, and a temporary Ref may hold one.
template <typename X>
inline constexpr bool outlives_the_call = true;
template <typename X>
requires(!std::is_lvalue_reference_v<X> &&
         EigenDense<X>) inline constexpr bool outlives_the_call<X> =
    !std::is_base_of_v<Eigen::PlainObjectBase<std::remove_cvref_t<X>>, std::remove_cvref_t<X>>;
template <typename P, int O, typename St>
inline constexpr bool outlives_the_call<Eigen::Ref<P, O, St>> = false;

}  // namespace detail

/// MatrixView of a matrix, Map, Ref or block that has unit stride along rows or columns; throws
/// ShapeError for other strides.
template <EigenDense X>
auto view_of(X&& x) {
  static_assert(detail::has_elements<std::remove_cvref_t<X>>(),
                "lorma: view_of needs elements in memory; evaluate the expression first");
  static_assert(detail::outlives_the_call<X>,
                "lorma: a view over a temporary matrix would dangle; name the matrix first");
  const auto lies = detail::strided(x);
  const auto view = detail::blas_view(lies);
  if (!view) {
    throw ShapeError("lorma::view_of: expected unit stride along rows or columns, got strides " +
                     std::to_string(lies.row_stride) + ", " + std::to_string(lies.col_stride));
  }
  return *view;
}

/// Eigen Map over a view whose order is known.
template <int Order, typename T>
auto eigen_map(const MatrixView<T>& v) {
  using Plain = Eigen::Matrix<std::remove_const_t<T>, Eigen::Dynamic, Eigen::Dynamic, Order>;
  using Mapped = std::conditional_t<std::is_const_v<T>, const Plain, Plain>;
  return Eigen::Map<Mapped, Eigen::Unaligned, Eigen::OuterStride<>>(v.data, v.rows, v.cols,
                                                                    Eigen::OuterStride<>(v.ld));
}

/// Calls f with the Eigen Map of `v` in its own order.
template <typename T, typename F>
decltype(auto) visit_eigen(const MatrixView<T>& v, F&& f) {
  if (v.col_major()) return f(eigen_map<Eigen::ColMajor>(v));
  return f(eigen_map<Eigen::RowMajor>(v));
}

}  // namespace lorma::inline LORMA_ABI

#endif
