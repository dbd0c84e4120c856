// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_BACKEND_EIGEN_VIEW_HPP
#define LORMA_BACKEND_EIGEN_VIEW_HPP

/// Between Eigen expressions and MatrixView, without a copy wherever elements lie in memory with
/// unit stride in one direction: matrices, Maps, Refs, blocks, transposes of either storage order.

#include <type_traits>
#include <utility>

#include "lorma/core/error.hpp"
#include "lorma/core/view.hpp"

namespace lorma::inline LORMA_ABI {

namespace detail {
template <typename D>
std::true_type is_dense(const Eigen::DenseBase<D>*);
std::false_type is_dense(const void*);
}  // namespace detail

/// Any Eigen dense expression, types derived from one included.
template <typename T>
concept EigenDense =
    decltype(detail::is_dense(static_cast<std::remove_cvref_t<T>*>(nullptr)))::value;

namespace detail {

template <typename Derived>
inline constexpr bool has_direct_access = (int(Derived::Flags) & Eigen::DirectAccessBit) != 0;

/// True when a view describes the expression: one of its two strides is 1 (or never used).
template <typename Derived>
bool is_viewable(const Derived& m) {
  return m.innerStride() == 1 || m.innerSize() <= 1 || m.outerSize() <= 1;
}

template <typename T, typename Derived>
MatrixView<T> make_view(T* data, const Derived& m) {
  const bool row_major = Derived::IsRowMajor != 0;
  const auto order = [](bool rows) {
    return rows ? StorageOrder::RowMajor : StorageOrder::ColMajor;
  };
  const Index inner = std::max<Index>(m.innerSize(), 1);
  if (m.innerStride() == 1 || inner == 1) {
    return {data, m.rows(), m.cols(), std::max(m.outerStride(), inner), order(row_major)};
  }
  // One line of elements at a distance: the leading dimension of the other order.
  return {data, m.rows(), m.cols(), m.innerStride(), order(!row_major)};
}

/// An argument read by lorma: a view of the caller's elements, or of an evaluated copy when the
/// expression has none (a sum, a product, an inner stride).
template <typename Derived>
class Operand {
 public:
  using Scalar = typename Derived::Scalar;

  explicit Operand(const Derived& m) {
    if constexpr (has_direct_access<Derived>) {
      if (is_viewable(m)) {
        view_ = make_view<const Scalar>(m.data(), m);
        return;
      }
    }
    copy_ = m;
    view_ = make_view<const Scalar>(copy_.data(), copy_);
  }
  Operand(const Operand&) = delete;
  Operand& operator=(const Operand&) = delete;

  const MatrixView<const Scalar>& view() const { return view_; }

 private:
  Matrix<Scalar> copy_;
  MatrixView<const Scalar> view_;
};

/// View of an argument written by lorma. Throws ShapeError when neither stride is 1.
template <typename Derived>
auto output_view(std::string_view function, Derived& m) {
  static_assert(has_direct_access<Derived>,
                "lorma: an output must be a matrix, Map, Ref or block with elements in memory");
  using T = std::remove_pointer_t<decltype(m.data())>;
  static_assert(!std::is_const_v<T>, "lorma: an output must be writable");
  if (!is_viewable(m)) {
    throw ShapeError(
        "lorma::" + std::string(function) +
        ": expected an output with unit stride along rows or columns, got inner stride " +
        std::to_string(m.innerStride()));
  }
  return make_view<T>(m.data(), m);
}

}  // namespace detail

/// MatrixView of a matrix, Map, Ref or block that has unit stride along rows or columns.
template <EigenDense Derived>
auto view_of(Derived&& m) {
  using Plain = std::remove_reference_t<Derived>;
  static_assert(detail::has_direct_access<std::remove_cv_t<Plain>>,
                "lorma::view_of: needs elements in memory; evaluate the expression first");
  if (!detail::is_viewable(m)) {
    throw ShapeError(
        "lorma::view_of: expected unit stride along rows or columns, got inner stride " +
        std::to_string(m.innerStride()));
  }
  using T = std::remove_pointer_t<decltype(m.data())>;
  return detail::make_view<T>(m.data(), m);
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
