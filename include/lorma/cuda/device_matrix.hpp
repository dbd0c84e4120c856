// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_DEVICE_MATRIX_HPP
#define LORMA_CUDA_DEVICE_MATRIX_HPP

/// Matrices in memory of the device: owning ones, and views of a framework's pointers.
///
///   lorma::DeviceMatrix<float> W0 = lorma::to_device(context, W);        // from Eigen
///   auto X = lorma::device_view(context, tensor.data_ptr<float>(), k, b);
///   lorma::Matrix<float> H = lorma::to_host(adapter.forward(W0, X));
/// A row-major [b, k] tensor of a framework is the column-major k x b matrix of the same pointer.

#include <cstdint>
#include <limits>
#include <optional>

#include "lorma/core/eigen_view.hpp"
#include "lorma/cuda/context.hpp"

namespace lorma::inline LORMA_ABI {

/// Non-owning: memory of the device that the caller keeps alive, and the context of calls on it.
template <typename T>
class DeviceView {
 public:
  using Scalar = std::remove_const_t<T>;

  DeviceView(const CudaContext& context, const MatrixView<T>& view)
      : context_(context), view_(view) {}

  Index rows() const { return view_.rows; }
  Index cols() const { return view_.cols; }
  T* data() const { return view_.data; }
  const CudaContext& context() const { return context_; }
  const MatrixView<T>& view() const { return view_; }

  DeviceView transposed() const { return {context_, view_.transposed()}; }
  DeviceView block(Index i, Index j, Index rows, Index cols) const {
    return {context_, view_.block(i, j, rows, cols)};
  }

 private:
  CudaContext context_;
  MatrixView<T> view_;
};

/// View of rows x cols elements at `data`, dense or with a leading dimension. Throws ShapeError for
/// negative sizes or a leading dimension that is too small.
template <typename T>
DeviceView<T> device_view(const CudaContext& context, T* data, Index rows, Index cols,
                          StorageOrder order = StorageOrder::ColMajor, Index ld = 0) {
  const Index inner = std::max<Index>(1, order == StorageOrder::ColMajor ? rows : cols);
  if (ld == 0) ld = inner;
  if (rows < 0 || cols < 0 || ld < inner) {
    throw ShapeError("lorma::device_view: expected sizes >= 0 and a leading dimension >= " +
                     std::to_string(inner) + ", got " + detail::shape(rows, cols) + " with " +
                     std::to_string(ld));
  }
  return {context, MatrixView<T>(data, rows, cols, ld, order)};
}

/// Owning, column-major (or row-major as made), without padding. Empty until it has a context.
template <typename S>
class DeviceMatrix {
 public:
  using Scalar = S;

  DeviceMatrix() = default;
  DeviceMatrix(const CudaContext& context, Index rows, Index cols,
               StorageOrder order = StorageOrder::ColMajor)
      : order_(order) {
    resize(context, rows, cols);
  }
  DeviceMatrix(DeviceMatrix&& other) noexcept { swap(other); }
  DeviceMatrix& operator=(DeviceMatrix&& other) noexcept {
    swap(other);
    return *this;
  }
  /// A copy on the device, in the order of the stream.
  DeviceMatrix(const DeviceMatrix& other) : DeviceMatrix() {  // from here on the destructor runs
    order_ = other.order_;
    if (!other.context_) return;
    resize(*other.context_, other.rows_, other.cols_);
    if (other.bytes() == 0) return;
    detail::check_cuda("cudaMemcpyAsync",
                       cudaMemcpyAsync(data_, other.data_, other.bytes(), cudaMemcpyDeviceToDevice,
                                       context_->stream()));
  }
  DeviceMatrix& operator=(const DeviceMatrix& other) {
    if (this != &other) DeviceMatrix(other).swap(*this);
    return *this;
  }
  ~DeviceMatrix() {
    if (context_) context_->release(data_);
  }

  Index rows() const { return rows_; }
  Index cols() const { return cols_; }
  Index size() const { return rows_ * cols_; }
  S* data() { return data_; }
  const S* data() const { return data_; }
  StorageOrder order() const { return order_; }
  bool has_context() const { return context_.has_value(); }
  /// Throws BackendError for a matrix that never had memory.
  const CudaContext& context() const {
    if (!context_) {
      throw BackendError("lorma::DeviceMatrix: expected a matrix with memory, got an empty one");
    }
    return *context_;
  }

  MatrixView<S> view() { return shaped(data_); }
  MatrixView<const S> view() const { return shaped(static_cast<const S*>(data_)); }

  /// Elements are undefined after a change of size; memory is kept where it suffices.
  void resize(const CudaContext& context, Index rows, Index cols) {
    constexpr Index most = std::numeric_limits<Index>::max() / Index(sizeof(S));
    if (rows < 0 || cols < 0 || (cols > 0 && rows > most / cols)) {
      throw ShapeError(
          "lorma::DeviceMatrix: expected sizes >= 0 whose product fits in memory, got " +
          detail::shape(rows, cols));
    }
    const bool fits = context_ && *context_ == context && rows * cols <= capacity_;
    if (!fits) {
      void* fresh = rows * cols == 0
                        ? nullptr
                        : context.allocate(static_cast<std::size_t>(rows * cols) * sizeof(S));
      if (context_) context_->release(data_);
      data_ = static_cast<S*>(fresh);
      capacity_ = rows * cols;
      context_ = context;
    }
    rows_ = rows;
    cols_ = cols;
  }

 private:
  template <typename T>
  MatrixView<T> shaped(T* data) const {
    const Index inner = order_ == StorageOrder::ColMajor ? rows_ : cols_;
    return {data, rows_, cols_, std::max<Index>(1, inner), order_};
  }
  std::size_t bytes() const { return static_cast<std::size_t>(size()) * sizeof(S); }
  void swap(DeviceMatrix& other) noexcept {
    std::swap(context_, other.context_);
    std::swap(data_, other.data_);
    std::swap(rows_, other.rows_);
    std::swap(cols_, other.cols_);
    std::swap(capacity_, other.capacity_);
    std::swap(order_, other.order_);
  }

  std::optional<CudaContext> context_;
  S* data_ = nullptr;
  Index rows_ = 0;
  Index cols_ = 0;
  Index capacity_ = 0;
  StorageOrder order_ = StorageOrder::ColMajor;
};

template <typename T>
inline constexpr bool is_device_matrix = false;
template <typename S>
inline constexpr bool is_device_matrix<DeviceMatrix<S>> = true;
template <typename T>
inline constexpr bool is_device_matrix<DeviceView<T>> = true;

/// What CuBlas takes as an argument.
template <typename T>
concept DeviceDense = is_device_matrix<std::remove_cvref_t<T>>;

namespace detail {

/// An owner dies with its statement; a view of it needs a name.
template <typename S>
inline constexpr bool outlives_the_call<DeviceMatrix<S>> = false;
template <typename S>
inline constexpr bool outlives_the_call<const DeviceMatrix<S>> = false;

/// Whether the elements lie one after the other, in the order of the view or along its only line.
template <typename T>
bool stored_densely(const MatrixView<T>& v) {
  if (v.rows <= 1) return v.cols <= 1 || v.col_stride() == 1;
  if (v.cols <= 1) return v.row_stride() == 1;
  return v.ld == (v.col_major() ? v.rows : v.cols);
}

/// cudaMemcpy2DAsync refuses lines further apart than this.
inline constexpr Index max_pitch_bytes = std::numeric_limits<std::int32_t>::max();

/// Copies lines of one order and type. Not for lines further apart than max_pitch_bytes, unless
/// both sides are dense.
template <typename S>
void copy_lines(cudaStream_t stream, const MatrixView<const S>& from, const MatrixView<S>& to,
                cudaMemcpyKind kind) {
  const auto size = [](Index count) { return static_cast<std::size_t>(count) * sizeof(S); };
  if (stored_densely(from) && stored_densely(to)) {
    check_cuda("cudaMemcpyAsync",
               cudaMemcpyAsync(to.data, from.data, size(to.rows * to.cols), kind, stream));
    return;
  }
  const Index inner = to.col_major() ? to.rows : to.cols;
  const Index lines = to.col_major() ? to.cols : to.rows;
  const auto pitch = [&](const MatrixView<const S>& v) {
    return size(lines == 1 ? inner : v.ld);  // of one line the distance to the next is no matter
  };
  check_cuda("cudaMemcpy2DAsync",
             cudaMemcpy2DAsync(to.data, pitch(to), from.data, pitch(from), size(inner),
                               static_cast<std::size_t>(lines), kind, stream));
}

/// Waits; the source may change afterwards.
template <typename S>
void copy_from_host(const CudaContext& context, const Matrix<S>& from, S* to) {
  if (from.size() == 0) return;
  check_cuda("cudaMemcpyAsync",
             cudaMemcpyAsync(to, from.data(), static_cast<std::size_t>(from.size()) * sizeof(S),
                             cudaMemcpyHostToDevice, context.stream()));
  context.synchronize();
}

}  // namespace detail

/// Copies a matrix of the CPU (any expression) to the device; the CPU's may change afterwards.
/// Allocates and waits. Throws BackendError, also while the stream is being captured.
template <typename Derived>
DeviceMatrix<typename Derived::Scalar> to_device(const CudaContext& context,
                                                 const Eigen::DenseBase<Derived>& m) {
  using S = typename Derived::Scalar;
  context.refuse_capture("to_device");
  const Matrix<S> plain = m.derived();
  DeviceMatrix<S> result(context, plain.rows(), plain.cols());
  detail::copy_from_host(context, plain, result.data());
  return result;
}

namespace detail {

/// The same into a matrix of the device, which keeps its memory where shape and context stay the
/// same, so that captured graphs see the new elements.
template <typename S>
void upload(const CudaContext& context, const Matrix<S>& from, DeviceMatrix<S>& to) {
  context.refuse_capture("upload");
  if (to.order() != StorageOrder::ColMajor) to = DeviceMatrix<S>();
  to.resize(context, from.rows(), from.cols());
  copy_from_host(context, from, to.data());
}

}  // namespace detail

/// Copies a matrix of the device to the CPU, after all that is queued before. Waits. Throws
/// BackendError, also while the stream is being captured.
template <DeviceDense M>
auto to_host(const M& m) {
  using S = typename M::Scalar;
  const MatrixView<const S> from = m.view();
  const bool transposed = !from.col_major();
  const MatrixView<const S> columns = transposed ? from.transposed() : from;
  Matrix<S> lines(columns.rows, columns.cols);
  if (lines.size() > 0) {
    const CudaContext& context = m.context();
    context.refuse_capture("to_host");
    const MatrixView<S> to(lines.data(), lines.rows(), lines.cols(), lines.rows());
    // One line at a time where they lie too far apart for one call.
    const bool far = columns.ld * Index(sizeof(S)) > detail::max_pitch_bytes;
    const Index count = far && !detail::stored_densely(columns) ? 1 : columns.cols;
    for (Index j = 0; j < columns.cols; j += count) {
      detail::copy_lines<S>(context.stream(), columns.col_range(j, count), to.col_range(j, count),
                            cudaMemcpyDeviceToHost);
    }
    context.synchronize();
  }
  return transposed ? Matrix<S>(lines.transpose()) : lines;
}

}  // namespace lorma::inline LORMA_ABI

#endif
