// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUDA_CIRCULANT_SUM_HPP
#define LORMA_CUDA_CIRCULANT_SUM_HPP

/// P = s sum_q diag(B_q) C(A_q) by cuFFT (docs/mathematics.md): what operators/spectral.hpp does on
/// the CPU, with the members that operators/operator.hpp lists.
///
/// Columns are taken in batches whose spectra fill CudaOptions::spectral_bytes at most. Cost of b
/// columns in real transforms of length n: r + 1 for apply and apply_adjoint, 2 r + 2 for vjp; each
/// of the r spectra of a column is written and read about twice. Half and bfloat16 are transformed
/// in float.

#include <utility>

#include "lorma/core/factors.hpp"
#include "lorma/cuda/kernel_arguments.hpp"
#include "lorma/cuda/transforms.hpp"

namespace lorma::inline LORMA_ABI::detail {

template <typename S>
class CirculantSum {
  using R = Accumulator<S>;

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
    const Transforms<R> transforms(workspace, n_, r_, 0, {.backward = false});
    const MatrixView<R> rows = workspace.take<R>(n_, r_);
    void* work = take_work(workspace, transforms);
    copy(workspace, f.A.transposed(), rows);
    transforms.forward(work, r_, rows.data, spectrum_A_);
  }

  static Index kept_size(Index /*n*/, Index /*r*/, Index /*b*/) { return 0; }

  /// Makes what a later apply or apply_adjoint on so many columns needs besides scratch.
  void prepare(DeviceWorkspace& workspace, Index columns) const {
    const auto frame = workspace.frame();
    if (columns > 0) Batches(*this, workspace, columns, Use::prepare);
  }

  void apply(DeviceWorkspace& workspace, const MatrixView<const S>& Y, const MatrixView<S>& out,
             S* /*kept*/ = nullptr) const {
    const auto frame = workspace.frame();
    const Batches batches(*this, workspace, Y.cols, Use::apply);
    batches.run([&](Index j, Index count) {
      batches.spectra_of(workspace, Y.col_range(j, count));
      batches.correlate(workspace, count);
      check_cuda("lorma_cuda_gather", lorma_cuda_gather(workspace.context().stream(), sizes(count),
                                                        scale(), kernel_matrix(f_.B), batches.real,
                                                        kernel_matrix(out.col_range(j, count))));
    });
  }

  void apply_adjoint(DeviceWorkspace& workspace, const MatrixView<const S>& G,
                     const MatrixView<S>& out) const {
    const auto frame = workspace.frame();
    const Batches batches(*this, workspace, G.cols, Use::apply_adjoint);
    batches.run([&](Index j, Index count) {
      batches.spread(workspace, G.col_range(j, count));
      batches.fold(workspace, out.col_range(j, count));
    });
  }

  void vjp(DeviceWorkspace& workspace, const MatrixView<const S>& G, const MatrixView<const S>& Y,
           const S* /*kept*/, const MatrixView<S>& dY, const MatrixView<S>& dA,
           const MatrixView<S>& dB) const {
    const auto frame = workspace.frame();
    const cudaStream_t stream = workspace.context().stream();
    const Batches batches(*this, workspace, Y.cols, Use::vjp);
    const Transforms<R> of_factors(workspace, n_, r_, 0, {.forward = false});
    const Index spectra = 2 * bins_ * r_;
    R* sums_A = workspace.take_array<R>(spectra);
    const MatrixView<R> sums_B = workspace.take<R>(n_, r_);
    const MatrixView<R> rows = workspace.take<R>(n_, r_);
    void* work = take_work(workspace, of_factors);
    clear(stream, sums_A, spectra);
    clear(stream, sums_B.data, n_ * r_);
    batches.run([&](Index j, Index count) {
      const LormaCudaCirculants s = sizes(count);
      const MatrixView<const S> g = G.col_range(j, count);
      batches.spectra_of(workspace, Y.col_range(j, count));
      batches.spread(workspace, g);
      check_cuda("lorma_cuda_gradient_A",
                 lorma_cuda_gradient_A(stream, s, batches.products, batches.columns, sums_A));
      batches.correlate(workspace, count);
      check_cuda("lorma_cuda_gradient_B",
                 lorma_cuda_gradient_B(stream, s, kernel_matrix(g), batches.real, sums_B.data));
      if (dY.data != nullptr) batches.fold(workspace, dY.col_range(j, count));
    });
    of_factors.backward(work, r_, sums_A, rows.data);
    copy(workspace, as_const(rows), dA.transposed(), scale());
    copy(workspace, as_const(sums_B), dB, scale());
  }

 private:
  enum class Use : unsigned char { apply, apply_adjoint, vjp, prepare };

  /// Plans and scratch for b columns, all made before anything is written. Scratch is used by
  /// turns:
  ///   real        the columns themselves, then whatever goes into or comes out of a transform
  ///   columns     F y_c, then sums over q
  ///   products    F (B_q . g_c)
  ///   spectra     conj(F A_q) F y_c
  struct Batches {
    Batches(const CirculantSum& sum, DeviceWorkspace& workspace, Index b, Use use)
        : sum_(sum),
          b_(b),
          width_(batch_width(sum, workspace.context().options(), b)),
          // A batch transforms w columns and r w products of them; so does the last, narrower one.
          narrow_(workspace, sum.n_, width_, b % width_,
                  {.forward = use != Use::apply_adjoint, .backward = use != Use::apply}),
          wide_(workspace, sum.n_, sum.r_ * width_, sum.r_ * (b % width_),
                {.forward = use != Use::apply, .backward = use != Use::apply_adjoint}),
          work_(workspace.template take_array<std::byte>(
              static_cast<Index>(std::max(narrow_.work_bytes(), wide_.work_bytes())))),
          real(workspace.template take_array<R>(sum.n_ * sum.r_ * width_)),
          columns(workspace.template take_array<R>(2 * sum.bins_ * width_)),
          products(workspace.template take_array<R>(2 * sum.bins_ * sum.r_ * width_)),
          spectra(use != Use::vjp
                      ? products  // only one of them is used
                      : workspace.template take_array<R>(2 * sum.bins_ * sum.r_ * width_)) {}

    static Index batch_width(const CirculantSum& sum, const CudaOptions& options, Index b) {
      const auto bytes = static_cast<std::size_t>(2 * sum.bins_ * sum.r_) * sizeof(R);
      const auto most = static_cast<Index>(options.spectral_bytes / bytes);
      return std::min(std::max<Index>(1, most), std::max<Index>(1, b));
    }

    template <typename F>
    void run(F&& f) const {
      for (Index j = 0; j < b_; j += width_) f(j, std::min(width_, b_ - j));
    }

    void spectra_of(DeviceWorkspace& workspace, const MatrixView<const S>& Y) const {
      copy(workspace, Y, MatrixView<R>(real, Y.rows, Y.cols, Y.rows));
      narrow_.forward(work_, Y.cols, real, columns);
    }
    /// real = n C(A_q) y_c for all q and c.
    void correlate(DeviceWorkspace& workspace, Index count) const {
      check_cuda("lorma_cuda_correlate",
                 lorma_cuda_correlate(workspace.context().stream(), sum_.sizes(count),
                                      sum_.spectrum_A_, columns, spectra));
      wide_.backward(work_, sum_.r_ * count, spectra, real);
    }
    void spread(DeviceWorkspace& workspace, const MatrixView<const S>& G) const {
      check_cuda("lorma_cuda_spread",
                 lorma_cuda_spread(workspace.context().stream(), sum_.sizes(G.cols),
                                   kernel_matrix(sum_.f_.B), kernel_matrix(G), real));
      wide_.forward(work_, sum_.r_ * G.cols, real, products);
    }
    /// out_c = s sum_q C(A_q)^T (B_q . g_c) from the spectra of the latter.
    void fold(DeviceWorkspace& workspace, const MatrixView<S>& out) const {
      check_cuda("lorma_cuda_convolve",
                 lorma_cuda_convolve(workspace.context().stream(), sum_.sizes(out.cols),
                                     sum_.spectrum_A_, products, columns));
      narrow_.backward(work_, out.cols, columns, real);
      copy(workspace, MatrixView<const R>(real, out.rows, out.cols, out.rows), out, sum_.scale());
    }

   private:
    const CirculantSum& sum_;
    Index b_;
    Index width_;
    Transforms<R> narrow_;
    Transforms<R> wide_;
    void* work_;

   public:
    R* real;
    R* columns;
    R* products;
    R* spectra;
  };

  LormaCudaCirculants sizes(Index columns) const {
    return {n_, bins_, r_, columns, std::same_as<R, double> ? LORMA_CUDA_DOUBLE : LORMA_CUDA_FLOAT};
  }
  /// s, and the 1 / n that cuFFT leaves out.
  double scale() const { return static_cast<double>(f_.scale) / static_cast<double>(n_); }

  static void* take_work(DeviceWorkspace& workspace, const Transforms<R>& transforms) {
    return workspace.take_array<std::byte>(static_cast<Index>(transforms.work_bytes()));
  }
  static void clear(cudaStream_t stream, R* data, Index count) {
    check_cuda("cudaMemsetAsync",
               cudaMemsetAsync(data, 0, static_cast<std::size_t>(count) * sizeof(R), stream));
  }
  template <typename T, typename U>
  static void copy(DeviceWorkspace& workspace, const MatrixView<T>& from, const MatrixView<U>& to,
                   double scale = 1.0) {
    check_cuda("lorma_cuda_copy", lorma_cuda_copy(workspace.context().stream(), scale,
                                                  kernel_matrix(from), kernel_matrix(to)));
  }

  Factors<S> f_;
  Index n_;
  Index bins_;
  Index r_;
  R* spectrum_A_;  ///< F A_q, q-th at 2 bins q
};

}  // namespace lorma::inline LORMA_ABI::detail

#endif
