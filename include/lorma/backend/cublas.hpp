// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_BACKEND_CUBLAS_HPP
#define LORMA_BACKEND_CUBLAS_HPP

/// NVIDIA GPUs: products by cuBLAS, transforms by cuFFT, data on the device.
///
///   #include <lorma/cublas.hpp>                          // with Spectral, and lorma/lorma.hpp
///
///   auto context = lorma::CudaContext::create();
///   auto adapter = trained.to<lorma::CuBlas>(context);
///   auto W0 = lorma::to_device(context, weight);
///   lorma::DeviceMatrix<float> H = adapter.forward(W0, X);
///
/// Compiled by any C++20 compiler; the CMake target lorma::cublas links the libraries and the
/// object with lorma's kernels. Scalars: float, double, half and bfloat16, the last two with sums
/// in float. All work is queued on the context's stream. Calls that write into the caller's
/// matrices (forward_into, backward_into, merge_into) allocate nothing on the device once warm,
/// wait for nothing and can be captured in a CUDA graph; docs/cuda.md lists what waits.

#include "lorma/backend/backend.hpp"
#include "lorma/backend/panels.hpp"
#include "lorma/core/door.hpp"
#include "lorma/cuda/device_matrix.hpp"
#include "lorma/cuda/device_workspace.hpp"
#include "lorma/cuda/gemm.hpp"
#include "lorma/cuda/kernel_arguments.hpp"

namespace lorma::inline LORMA_ABI {

struct CuBlas {
  static constexpr std::string_view name = "CuBlas";

  using Context = CudaContext;
  using Workspace = DeviceWorkspace;
  template <typename S>
  using Matrix = DeviceMatrix<S>;
  /// From the documentation of the tensor cores, not measured: 16-bit products want every row at a
  /// multiple of 16 bytes, which the view of leading dimension 2n - 1 has not.
  template <typename S>
  static constexpr bool rotates = StorageOnlyScalar<S>;

  template <typename S>
  static constexpr bool computes = ElementScalar<S>;
  /// Products take 64-bit sizes.
  static constexpr Index max_dimension = std::numeric_limits<Index>::max();
  /// A device is fast on whole matrices; only copies of very wide ones are bounded.
  static constexpr Index cache_bytes = Index(1) << 40;
  static Index panel_columns(const Workspace& workspace) {
    return std::max<Index>(1, workspace.context().options().panel_columns);
  }

  /// From the published peak rates of current data-centre GPUs, not measured.
  template <typename S>
  static constexpr CostRates cost_rates() {
    CostRates rates;
    rates.product = StorageOnlyScalar<S> ? 600e12 : 45e12;
    rates.thin = StorageOnlyScalar<S> ? 60e12 : 15e12;
    rates.transform = std::same_as<S, double> ? 2e12 : 4e12;
    rates.bytes = 3e12;
    rates.start = 3e-6;
    return rates;
  }

  static Workspace make_workspace(const Context& context) { return Workspace(context); }
  template <typename X>
  static Context context_of(const X& x) {
    return x.context();
  }
  template <typename X>
  static const void* context_id(const X& x) {
    if constexpr (std::same_as<X, Context>) {
      return x.id();
    } else {
      return x.context().id();
    }
  }
  template <typename S>
  static void resize(const Context& context, Matrix<S>& m, Index rows, Index cols) {
    m.resize(context, rows, cols);
  }
  template <typename S>
  static MatrixView<S> view(Matrix<S>& m) {
    return m.view();
  }
  template <typename S>
  static MatrixView<const S> view(const Matrix<S>& m) {
    return m.view();
  }
  /// \name For the door
  ///@{
  template <typename X>
  static constexpr bool takes() {
    static_assert(DeviceDense<X>,
                  "lorma: the backend CuBlas takes lorma::DeviceMatrix or lorma::DeviceView; copy "
                  "a matrix of the CPU with lorma::to_device(context, M)");
    return DeviceDense<X>;
  }
  template <typename X>
  static auto lies(X&& x) {
    return detail::strided(x.view());
  }
  /// A copy would be scratch that nobody asked for.
  template <typename S, typename T>
  [[noreturn]] static lorma::Matrix<S> copy_of(std::string_view function, std::string_view what,
                                               const detail::Strided<T>& from) {
    static_assert(std::same_as<std::remove_const_t<T>, S>,
                  "lorma: the backend CuBlas converts no operand but a weight of half or bfloat16 "
                  "for a float adapter; pass a matrix of the adapter's Scalar");
    throw ShapeError("lorma::" + std::string(function) + ": expected " + std::string(what) +
                     " to have unit stride along rows or columns and a leading dimension that "
                     "holds a line (a matrix of the device is not copied), got " +
                     detail::shape(from.rows, from.cols) + " with strides " +
                     std::to_string(from.row_stride) + ", " + std::to_string(from.col_stride));
  }
  template <typename M>
  static auto empty_like(const M& m) {
    return DeviceMatrix<typename M::Scalar>(m.context(), m.rows(), m.cols(), m.view().order);
  }
  ///@}

  template <typename T>
  static Readable<std::remove_const_t<T>> on_host(Workspace& workspace, const MatrixView<T>& X) {
    return Readable<std::remove_const_t<T>>(to_host(DeviceView<T>(workspace.context(), X)));
  }
  template <typename S>
  static void upload(const Context& context, const lorma::Matrix<S>& from, Matrix<S>& to) {
    detail::upload(context, from, to);
  }

  /// C = alpha A B + beta C. A of half or bfloat16 under a float C is converted by panels of rows.
  template <typename TA, typename TB, typename S>
  requires StorableIn<TA, S> && std::same_as<std::remove_const_t<TB>, S>
  static void gemm(Workspace& workspace, Accumulator<S> alpha, const MatrixView<TA>& A,
                   const MatrixView<TB>& B, Accumulator<S> beta, const MatrixView<S>& C) {
    if (C.empty()) return;
    if (A.cols == 0) {
      if (beta == Accumulator<S>(0)) fill(workspace, 0, C);
      return;
    }
    if constexpr (!std::same_as<std::remove_const_t<TA>, S>) {
      detail::gemm_by_panels<CuBlas, std::remove_const_t<TA>, S>(workspace, alpha, A, B, beta, C,
                                                                 panel_columns(workspace));
    } else {
      const MatrixView<const S> a = A;
      const MatrixView<const S> b = B;
      if constexpr (ComputeScalar<S>) {
        if (C.cols == 1) {
          detail::cublas_gemv<S>(workspace.context(), alpha, a, b, beta, C);
          return;
        }
        if (C.rows == 1) {
          detail::cublas_gemv<S>(workspace.context(), alpha, b.transposed(), a.transposed(), beta,
                                 C.transposed());
          return;
        }
      }
      detail::cublas_gemm<S>(workspace.context(), alpha, a, b, beta, C);
    }
  }

  /// C_i = alpha_i A_i B_i + beta C_i for all i, in one call where the library takes it.
  template <typename S>
  static void gemm_grouped(Workspace& workspace, const std::vector<Accumulator<S>>& alpha,
                           const std::vector<MatrixView<const S>>& A,
                           const std::vector<MatrixView<const S>>& B, Accumulator<S> beta,
                           const std::vector<MatrixView<S>>& C) {
    detail::cublas_gemm_grouped<S>(workspace, alpha, A, B, beta, C);
  }

  /// to = from, elementwise; conversions round to nearest once.
  template <typename T, typename U>
  static void copy(Workspace& workspace, const MatrixView<T>& from, const MatrixView<U>& to) {
    if (to.empty()) return;
    using S = std::remove_const_t<T>;
    if constexpr (std::same_as<S, U>) {
      const bool line = to.rows == 1 || to.cols == 1;  // has no order
      const bool dense = detail::stored_densely(from) && detail::stored_densely(to);
      const bool near = std::max(from.ld, to.ld) <= detail::max_pitch_bytes / Index(sizeof(S));
      if (dense ? line || from.order == to.order : near && from.order == to.order) {
        detail::copy_lines<S>(workspace.context().stream(), from, to, cudaMemcpyDeviceToDevice);
        return;
      }
      if constexpr (ComputeScalar<S>) {
        if (from.order != to.order) {
          detail::cublas_transpose<S>(workspace.context(), from, to);
          return;
        }
      }
    }
    detail::kernel_copy(workspace.context(), 1.0, from, to);
  }

  template <typename S>
  static void add(Workspace& workspace, const MatrixView<const S>& from, const MatrixView<S>& to) {
    if (to.empty()) return;
    detail::kernel_add(workspace.context(), 1.0, from, to);
  }

  template <typename S>
  static void fill(Workspace& workspace, Accumulator<S> value, const MatrixView<S>& X) {
    if (X.empty()) return;
    detail::check_cuda("lorma_cuda_fill",
                       lorma_cuda_fill(workspace.context().stream(), detail::kernel_matrix(X),
                                       static_cast<double>(value)));
  }

  /// Row i of `to` is row i of `from` turned right (direction 1) or left (-1) by i; both n x n.
  template <typename S>
  static void rotate(Workspace& workspace, int direction, const MatrixView<const S>& from,
                     const MatrixView<S>& to) {
    detail::check_cuda("lorma_cuda_rotate",
                       lorma_cuda_rotate(workspace.context().stream(), direction,
                                         detail::kernel_matrix(from), detail::kernel_matrix(to)));
  }

  template <typename S>
  static void add_identity(Workspace& workspace, Accumulator<S> c, const MatrixView<S>& P) {
    detail::check_cuda("lorma_cuda_add_identity",
                       lorma_cuda_add_identity(workspace.context().stream(),
                                               detail::kernel_matrix(P), static_cast<double>(c)));
  }

  /// Waits for the stream.
  template <typename T>
  static bool is_finite(Workspace& workspace, const MatrixView<T>& X) {
    if (X.empty()) return true;
    const auto frame = workspace.frame();
    const CudaContext& context = workspace.context();
    context.refuse_capture("is_finite");
    int* flag = workspace.template take_array<int>(1);
    int found = 0;
    detail::check_cuda("cudaMemsetAsync", cudaMemsetAsync(flag, 0, sizeof(int), context.stream()));
    detail::check_cuda(
        "lorma_cuda_find_non_finite",
        lorma_cuda_find_non_finite(context.stream(), detail::kernel_matrix(X), flag));
    detail::check_cuda(
        "cudaMemcpyAsync",
        cudaMemcpyAsync(&found, flag, sizeof(int), cudaMemcpyDeviceToHost, context.stream()));
    context.synchronize();
    return found == 0;
  }
};

static_assert(BackendPolicy<CuBlas>);

}  // namespace lorma::inline LORMA_ABI

#endif
