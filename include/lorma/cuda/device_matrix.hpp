// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_DEVICE_MATRIX_HPP
#define LORMA_CUDA_DEVICE_MATRIX_HPP

/// Matrices in memory of the device: owning ones, and views of a framework's pointers.
///
///   lorma::DeviceMatrix<float> W0 = lorma::to_device(context, W);        // from Eigen
///   auto X = lorma::device_view(context, tensor.data_ptr<float>(), k, b);
///   lorma::Matrix<float> H = lorma::to_host(adapter.forward(W0, X));
/// A row-major [b, k] tensor of a framework is the column-major k x b matrix of the same pointer.

#include <optional>

#include "lorma/core/view.hpp"
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
  DeviceMatrix(const DeviceMatrix& other) : order_(other.order_) {
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
    if (rows < 0 || cols < 0) {
      throw ShapeError("lorma::DeviceMatrix: expected sizes >= 0, got " +
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

/// Copies a matrix of the CPU (any expression) to the device; the CPU's may change afterwards.
template <typename Derived>
DeviceMatrix<typename Derived::Scalar> to_device(const CudaContext& context,
                                                 const Eigen::DenseBase<Derived>& m) {
  const Matrix<typename Derived::Scalar> plain = m.derived();
  DeviceMatrix<typename Derived::Scalar> result(context, plain.rows(), plain.cols());
  if (plain.size() == 0) return result;
  detail::check_cuda("cudaMemcpyAsync", cudaMemcpyAsync(result.data(), plain.data(),
                                                        static_cast<std::size_t>(plain.size()) *
                                                            sizeof(typename Derived::Scalar),
                                                        cudaMemcpyHostToDevice, context.stream()));
  context.synchronize();  // the source dies here
  return result;
}

/// Waits for the stream, then copies a matrix of the device to the CPU.
template <DeviceDense M>
auto to_host(const M& m) {
  using S = typename M::Scalar;
  const MatrixView<const S> from = m.view();
  const bool transposed = !from.col_major();
  Matrix<S> lines(transposed ? from.cols : from.rows, transposed ? from.rows : from.cols);
  if (lines.size() > 0) {
    const auto width = static_cast<std::size_t>(lines.rows()) * sizeof(S);
    detail::check_cuda("cudaMemcpy2DAsync",
                       cudaMemcpy2DAsync(lines.data(), width, from.data,
                                         static_cast<std::size_t>(from.ld) * sizeof(S), width,
                                         static_cast<std::size_t>(lines.cols()),
                                         cudaMemcpyDeviceToHost, m.context().stream()));
    m.context().synchronize();
  }
  return transposed ? Matrix<S>(lines.transpose()) : lines;
}

}  // namespace lorma::inline LORMA_ABI

#endif
