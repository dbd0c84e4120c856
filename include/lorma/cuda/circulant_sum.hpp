// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_CIRCULANT_SUM_HPP
#define LORMA_CUDA_CIRCULANT_SUM_HPP

/// P = s sum_q diag(B_q) C(A_q) by cuFFT (docs/mathematics.md): what operators/spectral.hpp does on
/// the CPU, with the members that operators/operator.hpp lists.
///
/// Columns are taken in batches of at most `batch_bytes` of intermediate numbers. Cost of b columns
/// in real transforms of length n: r + 1 for apply and apply_adjoint, 2 r + 2 for vjp. Half and
/// bfloat16 are transformed in float.

#include "lorma/core/factors.hpp"
#include "lorma/cuda/device_workspace.hpp"
#include "lorma/cuda/kernels.hpp"

namespace lorma::inline LORMA_ABI::detail {

template <typename S>
constexpr LormaCudaType kernel_type() {
  if constexpr (std::same_as<S, double>) return LORMA_CUDA_DOUBLE;
  if constexpr (std::same_as<S, Eigen::half>) return LORMA_CUDA_HALF;
  if constexpr (std::same_as<S, Eigen::bfloat16>) return LORMA_CUDA_BFLOAT16;
  return LORMA_CUDA_FLOAT;
}

template <typename T>
LormaCudaMatrix kernel_matrix(const MatrixView<T>& v) {
  using S = std::remove_const_t<T>;
  return {const_cast<S*>(v.data), v.rows, v.cols, v.row_stride(), v.col_stride(), kernel_type<S>()};
}

template <typename S>
class CirculantSum {
  using R = Accumulator<S>;
  static constexpr Index batch_bytes = Index(64) << 20;

 public:
  using Workspace = DeviceWorkspace;

  /// Takes the spectra of A: r n numbers.
  CirculantSum(DeviceWorkspace& workspace, const Factors<S>& f)
      : f_(f),
        n_(f.dim()),
        bins_(f.dim() / 2 + 1),
        r_(f.rank()),
        spectrum_A_(workspace.take_array<R>(2 * bins_ * r_)) {
    const auto frame = workspace.frame();
    const MatrixView<R> rows = workspace.take<R>(n_, r_);
    copy(workspace, f.A.transposed(), rows);
    forward_transform(workspace, r_, rows.data, spectrum_A_);
  }

  static Index kept_size(Index /*n*/, Index /*r*/, Index /*b*/) { return 0; }

  void apply(DeviceWorkspace& workspace, const MatrixView<const S>& Y, const MatrixView<S>& out,
             S* /*kept*/ = nullptr) const {
    for_batches(Y.cols, [&](Index j, Index count) {
      const auto frame = workspace.frame();
      R* y = spectrum_of(workspace, Y.col_range(j, count));
      R* u = correlations(workspace, count, y);
      const double scale = static_cast<double>(f_.scale) / static_cast<double>(n_);
      check_cuda("lorma_cuda_gather",
                 lorma_cuda_gather(workspace.context().stream(), sizes(count), scale,
                                   kernel_matrix(f_.B), u, kernel_matrix(out.col_range(j, count))));
    });
  }

  void apply_adjoint(DeviceWorkspace& workspace, const MatrixView<const S>& G,
                     const MatrixView<S>& out) const {
    for_batches(G.cols, [&](Index j, Index count) {
      const auto frame = workspace.frame();
      R* t = spread_spectra(workspace, G.col_range(j, count));
      fold(workspace, count, t, out.col_range(j, count));
    });
  }

  void vjp(DeviceWorkspace& workspace, const MatrixView<const S>& G, const MatrixView<const S>& Y,
           const S* /*kept*/, const MatrixView<S>& dY, const MatrixView<S>& dA,
           const MatrixView<S>& dB) const {
    const auto frame = workspace.frame();
    const cudaStream_t stream = workspace.context().stream();
    const Index spectra = 2 * bins_ * r_;
    R* sums_A = workspace.take_array<R>(spectra);
    const MatrixView<R> sums_B = workspace.take<R>(n_, r_);
    clear(stream, sums_A, spectra);
    clear(stream, sums_B.data, n_ * r_);
    for_batches(Y.cols, [&](Index j, Index count) {
      const auto inner = workspace.frame();
      const LormaCudaCirculants s = sizes(count);
      const MatrixView<const S> g = G.col_range(j, count);
      R* y = spectrum_of(workspace, Y.col_range(j, count));
      R* t = spread_spectra(workspace, g);
      check_cuda("lorma_cuda_gradient_A", lorma_cuda_gradient_A(stream, s, t, y, sums_A));
      R* u = correlations(workspace, count, y);
      check_cuda("lorma_cuda_gradient_B",
                 lorma_cuda_gradient_B(stream, s, kernel_matrix(g), u, sums_B.data));
      if (dY.data != nullptr) fold(workspace, count, t, dY.col_range(j, count));
    });
    const MatrixView<R> rows = workspace.take<R>(n_, r_);
    backward_transform(workspace, r_, sums_A, rows.data);
    scaled_copy(workspace, as_const(rows), dA.transposed());
    scaled_copy(workspace, as_const(sums_B), dB);
  }

 private:
  LormaCudaCirculants sizes(Index columns) const {
    return {n_, bins_, r_, columns, std::same_as<R, double> ? LORMA_CUDA_DOUBLE : LORMA_CUDA_FLOAT};
  }

  template <typename F>
  void for_batches(Index columns, F&& f) const {
    const Index bytes = 2 * bins_ * r_ * Index(sizeof(R));
    const Index width = std::max<Index>(1, batch_bytes / bytes);
    for (Index j = 0; j < columns; j += width) f(j, std::min(width, columns - j));
  }

  static void clear(cudaStream_t stream, R* data, Index count) {
    check_cuda("cudaMemsetAsync",
               cudaMemsetAsync(data, 0, static_cast<std::size_t>(count) * sizeof(R), stream));
  }

  template <typename T, typename U>
  static void copy(DeviceWorkspace& workspace, const MatrixView<T>& from, const MatrixView<U>& to) {
    check_cuda("lorma_cuda_copy", lorma_cuda_copy(workspace.context().stream(), kernel_matrix(from),
                                                  kernel_matrix(to)));
  }

  void forward_transform(DeviceWorkspace& workspace, Index columns, R* x, R* spectrum) const {
    if constexpr (std::same_as<R, double>) {
      const auto plan = workspace.context().plan(CUFFT_D2Z, n_, columns);
      check_cufft("cufftExecD2Z",
                  cufftExecD2Z(plan, x, reinterpret_cast<cufftDoubleComplex*>(spectrum)));
    } else {
      const auto plan = workspace.context().plan(CUFFT_R2C, n_, columns);
      check_cufft("cufftExecR2C", cufftExecR2C(plan, x, reinterpret_cast<cufftComplex*>(spectrum)));
    }
  }
  /// Unscaled; overwrites the spectrum.
  void backward_transform(DeviceWorkspace& workspace, Index columns, R* spectrum, R* x) const {
    if constexpr (std::same_as<R, double>) {
      const auto plan = workspace.context().plan(CUFFT_Z2D, n_, columns);
      check_cufft("cufftExecZ2D",
                  cufftExecZ2D(plan, reinterpret_cast<cufftDoubleComplex*>(spectrum), x));
    } else {
      const auto plan = workspace.context().plan(CUFFT_C2R, n_, columns);
      check_cufft("cufftExecC2R", cufftExecC2R(plan, reinterpret_cast<cufftComplex*>(spectrum), x));
    }
  }

  /// Spectra of columns.
  R* spectrum_of(DeviceWorkspace& workspace, const MatrixView<const S>& Y) const {
    R* spectrum = workspace.take_array<R>(2 * bins_ * Y.cols);
    const auto frame = workspace.frame();
    const MatrixView<R> dense = workspace.take<R>(n_, Y.cols);
    copy(workspace, Y, dense);
    forward_transform(workspace, Y.cols, dense.data, spectrum);
    return spectrum;
  }
  /// n C(A_q) y_c for all q and c.
  R* correlations(DeviceWorkspace& workspace, Index columns, const R* y) const {
    R* u = workspace.take_array<R>(n_ * r_ * columns);
    const auto frame = workspace.frame();
    R* z = workspace.take_array<R>(2 * bins_ * r_ * columns);
    check_cuda("lorma_cuda_correlate", lorma_cuda_correlate(workspace.context().stream(),
                                                            sizes(columns), spectrum_A_, y, z));
    backward_transform(workspace, r_ * columns, z, u);
    return u;
  }
  /// Spectra of B_q . g_c for all q and c.
  R* spread_spectra(DeviceWorkspace& workspace, const MatrixView<const S>& G) const {
    R* spectrum = workspace.take_array<R>(2 * bins_ * r_ * G.cols);
    const auto frame = workspace.frame();
    R* t = workspace.take_array<R>(n_ * r_ * G.cols);
    check_cuda("lorma_cuda_spread", lorma_cuda_spread(workspace.context().stream(), sizes(G.cols),
                                                      kernel_matrix(f_.B), kernel_matrix(G), t));
    forward_transform(workspace, r_ * G.cols, t, spectrum);
    return spectrum;
  }
  /// out_c = s sum_q C(A_q)^T (B_q . g_c) from the spectra of the latter.
  void fold(DeviceWorkspace& workspace, Index columns, const R* t, const MatrixView<S>& out) const {
    const auto frame = workspace.frame();
    R* spectrum = workspace.take_array<R>(2 * bins_ * columns);
    const MatrixView<R> x = workspace.take<R>(n_, columns);
    check_cuda("lorma_cuda_convolve",
               lorma_cuda_convolve(workspace.context().stream(), sizes(columns), spectrum_A_, t,
                                   spectrum));
    backward_transform(workspace, columns, spectrum, x.data);
    scaled_copy(workspace, as_const(x), out);
  }

  /// to = (s / n) from, for n x b matrices: gather with one factor of ones.
  void scaled_copy(DeviceWorkspace& workspace, const MatrixView<const R>& from,
                   const MatrixView<S>& to) const {
    const auto frame = workspace.frame();
    const MatrixView<R> ones = workspace.take<R>(n_, 1);
    LormaCudaCirculants s = sizes(from.cols);
    s.r = 1;
    const cudaStream_t stream = workspace.context().stream();
    check_cuda("lorma_cuda_fill", lorma_cuda_fill(stream, kernel_matrix(ones), 1.0));
    const double scale = static_cast<double>(f_.scale) / static_cast<double>(n_);
    check_cuda("lorma_cuda_gather", lorma_cuda_gather(stream, s, scale, kernel_matrix(ones),
                                                      from.data, kernel_matrix(to)));
  }

  Factors<S> f_;
  Index n_;
  Index bins_;
  Index r_;
  R* spectrum_A_;  ///< F A_q, q-th at 2 bins q
};

}  // namespace lorma::inline LORMA_ABI::detail

#endif
