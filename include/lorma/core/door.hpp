// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_DOOR_HPP
#define LORMA_CORE_DOOR_HPP

/// The one entry point for the caller's matrices, whichever function they are passed to.
///
///   Door<Backend> door("forward", workspace);
///   const Readable<S> in = door.read<S>("X", x);        // in place, or a copy
///   const MatrixView<S> out = door.write<S>("H", h);    // in place, or refused
///   door.close();                                       // refuses what would be read half written
///
/// A stride is never altered. What a BLAS can read is used in place; any other input (an
/// expression, a stride of 0, a sliding window, two strides that are not 1, a scalar that converts
/// exactly) is copied; any other output is refused. Behind the door every size and product of sizes
/// fits, every view is valid and no output shares an element with another operand, so nothing is
/// checked again.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "lorma/core/eigen_view.hpp"
#include "lorma/core/factors.hpp"
#include "lorma/core/workspace.hpp"

namespace lorma::inline LORMA_ABI {

/// A matrix to read: the caller's elements in place, or a copy that this object owns.
template <typename T>
class Readable {
 public:
  explicit Readable(const MatrixView<const T>& view) : view_(view) {}
  explicit Readable(Matrix<T> copy)
      : copy_(std::move(copy)), view_(view_of(std::as_const(copy_))) {}
  Readable(Readable&& other) noexcept : copy_(std::move(other.copy_)), view_(other.view_) {}
  Readable& operator=(Readable&&) = delete;

  const MatrixView<const T>& view() const { return view_; }
  /// Whether the view lives only as long as this object.
  bool is_copy() const { return copy_.data() != nullptr && view_.data == copy_.data(); }

 private:
  Matrix<T> copy_;
  MatrixView<const T> view_;
};

namespace detail {

/// Every number of type T is representable in S.
template <typename T, typename S>
concept ConvertsExactly = std::same_as<T, S> ||(StorageOnlyScalar<T>&& ComputeScalar<S>) ||
                          (std::same_as<T, float> && std::same_as<S, double>);

/// Scalar type of a caller's matrix.
template <typename X>
struct ScalarOf {
  using type = typename X::Scalar;
};
template <typename T>
struct ScalarOf<MatrixView<T>> {
  using type = std::remove_const_t<T>;
};
template <typename X>
using scalar_of = typename ScalarOf<std::remove_cvref_t<X>>::type;

/// Sizes of a caller's matrix, or of a base.
template <typename X>
Index rows_of(const X& x) {
  if constexpr (is_matrix_view<X>) {
    return x.rows;
  } else {
    return x.rows();
  }
}
template <typename X>
Index columns_of(const X& x) {
  if constexpr (is_matrix_view<X>) {
    return x.cols;
  } else {
    return x.cols();
  }
}

/// A copy, in S, of elements at any strides.
template <typename S, typename T>
Matrix<S> copy_strided(const Strided<T>& from) {
  Matrix<S> copy(from.rows, from.cols);
  for (Index j = 0; j < from.cols; ++j) {
    for (Index i = 0; i < from.rows; ++i) {
      copy(i, j) = static_cast<S>(from.data[i * from.row_stride + j * from.col_stride]);
    }
  }
  return copy;
}

/// Bytes that a view covers: lines of `inner` bytes, `line` bytes apart.
struct Extent {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  std::uintptr_t line = 1;
  std::uintptr_t inner = 0;
  StorageOrder order = StorageOrder::ColMajor;
  std::size_t element = 0;

  Extent() = default;
  template <typename T>
  explicit Extent(const MatrixView<T>& v) {
    if (v.empty() || v.data == nullptr) return;
    begin = reinterpret_cast<std::uintptr_t>(v.data);
    end = reinterpret_cast<std::uintptr_t>(&v(v.rows - 1, v.cols - 1) + 1);
    element = sizeof(T);
    line = static_cast<std::uintptr_t>(v.ld) * element;
    inner = static_cast<std::uintptr_t>(v.col_major() ? v.rows : v.cols) * element;
    order = v.order;
  }
};

/// False only when two views certainly share nothing: disjoint ranges of memory, or two blocks of
/// one parent (same order and leading dimension) whose inner ranges are disjoint.
inline bool may_overlap(const Extent& a, const Extent& b) {
  if (a.end <= b.begin || b.end <= a.begin) return false;
  if (a.line != b.line || a.order != b.order || a.element != b.element) return true;
  const std::uintptr_t shift =
      (b.begin > a.begin ? b.begin - a.begin : a.line - (a.begin - b.begin) % a.line) % a.line;
  return shift < a.inner || shift + b.inner > a.line;
}
template <typename T, typename U>
bool may_overlap(const MatrixView<T>& a, const MatrixView<U>& b) {
  return may_overlap(Extent(a), Extent(b));
}

/// The identity of a context on a backend with several; null elsewhere.
template <typename Backend, typename X>
const void* context_id(const X& x) {
  if constexpr (requires { Backend::context_id(x); }) {
    return Backend::context_id(x);
  } else {
    return nullptr;
  }
}

/// What a Door knows of its operands, whatever their types.
class Operands {
 public:
  Operands(std::string_view function, const void* context)
      : function_(function), context_(context) {}

  std::string_view function() const { return function_; }

 protected:
  enum class Use : unsigned char { read, replaced, written };

  /// `context` is null where it is not known.
  void add(std::string_view name, Use use, const Extent& extent, const void* context) {
    if (context != nullptr && context_ != nullptr && context != context_) {
      throw BackendError("lorma::" + std::string(function_) +
                         ": expected all operands in the context of the workspace or tape, got " +
                         std::string(name) + " of another context");
    }
    operands_.at(count_++) = {name, use, extent};
  }

  void refuse_overlap() const {
    for (std::size_t i = 0; i < count_; ++i) {
      if (operands_[i].use != Use::written) continue;
      for (std::size_t j = 0; j < count_; ++j) {
        if (j == i || (j < i && operands_[j].use == Use::written)) continue;
        if (operands_[j].use == Use::replaced && same(operands_[i].extent, operands_[j].extent)) {
          continue;
        }
        if (!may_overlap(operands_[i].extent, operands_[j].extent)) continue;
        throw ShapeError("lorma::" + std::string(function_) + ": expected " +
                         std::string(operands_[i].name) + " to share no memory with " +
                         std::string(operands_[j].name) + ", got overlapping matrices");
      }
    }
  }

  [[noreturn]] void refuse_strides(std::string_view name, Index row_stride,
                                   Index col_stride) const {
    throw ShapeError("lorma::" + std::string(function_) + ": expected " + std::string(name) +
                     ", an output, to have unit stride along rows or columns and no element "
                     "twice, got strides " +
                     std::to_string(row_stride) + ", " + std::to_string(col_stride));
  }

  void check_sizes(std::string_view name, Index rows, Index cols, Index most) const {
    const bool fits = rows >= 0 && cols >= 0 && rows <= most && cols <= most &&
                      (cols == 0 || rows <= std::numeric_limits<Index>::max() / 16 / cols);
    if (fits) return;
    throw ShapeError("lorma::" + std::string(function_) + ": expected " + std::string(name) +
                     " to have sizes that fit, each at most " + std::to_string(most) + ", got " +
                     shape(rows, cols));
  }

 private:
  struct Operand {
    std::string_view name;
    Use use = Use::read;
    Extent extent;
  };

  static bool same(const Extent& a, const Extent& b) {
    return a.begin == b.begin && a.end == b.end && a.line == b.line && a.order == b.order &&
           a.element == b.element;
  }

  std::string_view function_;
  const void* context_;
  std::array<Operand, 12> operands_;
  std::size_t count_ = 0;
};

/// Says in one sentence why X cannot be an operand of S.
template <typename Backend, typename S, typename X>
constexpr bool accepts() {
  using T = scalar_of<X>;
  static_assert(ConvertsExactly<T, S>,
                "lorma: a matrix must have the adapter's Scalar or one that converts to it exactly "
                "(half or bfloat16 to float or double, float to double): cast it, or choose "
                "another Scalar");
  return ConvertsExactly<T, S>;
}

}  // namespace detail

/// The operands of one call. `Backend` says where memory is; see the top of this file.
template <typename Backend>
class Door : public detail::Operands {
 public:
  /// `scratch`: the Workspace or context of the call.
  template <typename Scratch>
  Door(std::string_view function, const Scratch& scratch)
      : Operands(function, detail::context_id<Backend>(scratch)) {}

  /// X as numbers of S. Throws ShapeError for sizes that do not fit, BackendError for another
  /// context.
  template <typename S, typename X>
  Readable<S> read(std::string_view name, const X& x) {
    return enter<S>(name, x, Use::read);
  }
  /// The same for an input that an output may replace: both may be in exactly the same place.
  template <typename S, typename X>
  Readable<S> read_to_replace(std::string_view name, const X& x) {
    return enter<S>(name, x, Use::replaced);
  }
  /// Factors that are views already.
  template <typename S>
  void read(const Factors<S>& f) {
    detail::check_factors(function(), f);
    add("factor B", Use::read, detail::Extent(f.B), f.context);
    add("factor A", Use::read, detail::Extent(f.A), f.context);
  }
  /// What a tape borrowed; null data where there is none.
  template <typename S>
  void read_borrowed(const MatrixView<const S>& X) {
    if (X.data != nullptr)
      add("the X that the tape borrows", Use::read, detail::Extent(X), nullptr);
  }

  /// A view of Y, for numbers of S. Throws ShapeError for strides that no BLAS can write,
  /// BackendError for another context. A null pointer gives a view without data: an output that is
  /// not wanted.
  template <typename S, typename Y>
  MatrixView<S> write(std::string_view name, Y&& y) {
    if constexpr (!std::is_null_pointer_v<std::remove_cvref_t<Y>>) {
      static_cast<void>(Backend::template takes<Y>());
      using T = std::remove_pointer_t<decltype(Backend::lies(y).data)>;
      static_assert(!std::is_const_v<T>, "lorma: an output must be writable");
      static_assert(std::same_as<std::remove_const_t<T>, S>,
                    "lorma: an output must have the adapter's Scalar");
      if constexpr (std::same_as<T, S>) return leave(name, Backend::lies(y), y);
    }
    return {};
  }
  /// The same for a weight, which may be of any storage type that can meet S.
  template <typename S, typename W>
  auto write_weight(std::string_view name, W&& w) {
    static_cast<void>(Backend::template takes<W>());
    using T = std::remove_pointer_t<decltype(Backend::lies(w).data)>;
    static_assert(!std::is_const_v<T>, "lorma: an output must be writable");
    static_assert(StorableIn<T, S>,
                  "lorma: a weight to write must have the adapter's Scalar, or be half or bfloat16 "
                  "with a float adapter");
    if constexpr (!std::is_const_v<T> && StorableIn<T, S>) {
      return leave(name, Backend::lies(w), w);
    } else {
      return MatrixView<S>{};
    }
  }

  /// Throws ShapeError when an output shares memory with another operand.
  void close() const { refuse_overlap(); }

 private:
  template <typename S, typename X>
  Readable<S> enter(std::string_view name, const X& x, Use use) {
    using T = detail::scalar_of<X>;
    static_cast<void>(Backend::template takes<X>());
    if constexpr (detail::accepts<Backend, S, X>()) {
      if constexpr (detail::has_elements<X>()) {
        const auto lies = Backend::lies(x);
        check_sizes(name, lies.rows, lies.cols, Backend::max_dimension);
        if constexpr (std::same_as<T, S>) {
          if (const auto view = detail::blas_view<const S>(
                  {lies.data, lies.rows, lies.cols, lies.row_stride, lies.col_stride},
                  Backend::max_dimension)) {
            add(name, use, detail::Extent(*view), detail::context_id<Backend>(x));
            return Readable<S>(*view);
          }
        }
        return Readable<S>(Backend::template copy_of<S>(function(), name, lies));
      } else {
        check_sizes(name, x.rows(), x.cols(), Backend::max_dimension);
        return Readable<S>(Matrix<S>(x.derived().template cast<S>()));
      }
    } else {
      return Readable<S>(MatrixView<const S>());
    }
  }

  template <typename T, typename Y>
  MatrixView<T> leave(std::string_view name, const detail::Strided<T>& lies, const Y& y) {
    check_sizes(name, lies.rows, lies.cols, Backend::max_dimension);
    const auto view = detail::blas_view(lies, Backend::max_dimension);
    if (!view) refuse_strides(name, lies.row_stride, lies.col_stride);
    add(name, Use::written, detail::Extent(*view), detail::context_id<Backend>(y));
    return *view;
  }
};

}  // namespace lorma::inline LORMA_ABI

#endif
