// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_SPECTRAL_CUBLAS_HPP
#define LORMA_OPERATORS_SPECTRAL_CUBLAS_HPP

/// P = s sum_q diag(B_q) C(A_q) by cuFFT (docs/mathematics.md): what operators/spectral.hpp does on
/// the CPU.
///
/// Columns are taken in batches whose spectra fill CudaOptions::spectral_bytes at most. Cost of b
/// columns in real transforms of length n: r + 1 for apply and apply_adjoint, 2 r + 2 for vjp; each
/// of the r spectra of a column is written and read about twice. Half and bfloat16 are transformed
/// in float.

#include <cmath>
#include <utility>

#include "lorma/backend/cublas.hpp"
#include "lorma/cuda/transforms.hpp"
#include "lorma/inflation/inflation.hpp"
#include "lorma/operators/operator.hpp"
#include "lorma/operators/spectral_slices_cublas.hpp"

namespace lorma::inline LORMA_ABI {

/// For every inflation that turns rows.
template <TurnsRows Inflation, typename S>
class Operator<Spectral, Inflation, CuBlas, S> {
  using R = Accumulator<S>;
  using Transforms = detail::Transforms<R>;
  using Directions = detail::Directions;

 public:
  using Workspace = DeviceWorkspace;

  /// Takes the spectra of A: r n numbers.
  Operator(Workspace& workspace, const Factors<S>& f)
      : f_(f),
        n_(f.dim()),
        bins_(f.dim() / 2 + 1),
        r_(f.rank()),
        spectrum_A_(workspace.take_array<R>(2 * bins_ * r_)) {
    const auto frame = workspace.frame();
    const Transforms transforms(workspace, n_, r_, 0, {.backward = false});
    const MatrixView<R> rows = workspace.take<R>(n_, r_);
    void* work = take_work(workspace, transforms);
    copy(workspace, f.A.transposed(), rows);
    transforms.forward(work, r_, rows.data, spectrum_A_);
  }

  static Index kept_size(Index /*n*/, Index /*r*/, Index /*b*/) { return 0; }

  /// No cache holds what one kernel leaves for the next: each of the r b columns between the
  /// transforms is written and read twice; the gradients read them once more.
  static Work work(Action action, double n, double r, double b) {
    const double between = n * b * sizeof(R);
    const double columns = 2 * n * b * sizeof(S);
    if (action == Action::apply) {
      return {.transform = ((r + 1) * b + r) * one_transform(n),
              .bytes = (4 * r + 4) * between + columns,
              .starts = 7};
    }
    return {.transform = ((2 * r + 2) * b + 2 * r) * one_transform(n),
            .bytes = (9 * r + 8) * between + 2 * columns,
            .starts = 18};
  }

  /// Makes what a later apply or apply_adjoint on so many columns needs besides scratch.
  void prepare(Workspace& workspace, Index columns) const {
    if (columns == 0) return;
    for (const bool forward : {true, false}) {
      const auto frame = workspace.frame();
      Batches(*this, workspace, columns, {forward, !forward}, {!forward, forward});
    }
  }

  void apply(Workspace& workspace, const MatrixView<const S>& Y, const MatrixView<S>& out,
             S* /*kept*/ = nullptr) const {
    const auto frame = workspace.frame();
    const Batches batches(*this, workspace, Y.cols, {.backward = false}, {.forward = false});
    batches.run([&](Index j, Index count) {
      batches.spectra_of(workspace, Y.col_range(j, count));
      batches.correlate(workspace, count);
      detail::check_cuda("lorma_cuda_gather",
                         lorma_cuda_gather(workspace.context().stream(), sizes(count), scale(),
                                           detail::kernel_matrix(f_.B), batches.real,
                                           detail::kernel_matrix(out.col_range(j, count))));
    });
  }

  void apply_adjoint(Workspace& workspace, const MatrixView<const S>& G,
                     const MatrixView<S>& out) const {
    const auto frame = workspace.frame();
    const Batches batches(*this, workspace, G.cols, {.forward = false}, {.backward = false});
    batches.run([&](Index j, Index count) {
      batches.spread(workspace, G.col_range(j, count));
      batches.fold(workspace, out.col_range(j, count));
    });
  }

  void vjp(Workspace& workspace, const MatrixView<const S>& G, const MatrixView<const S>& Y,
           const S* /*kept*/, const MatrixView<S>& dY, const MatrixView<S>& dA,
           const MatrixView<S>& dB, bool accumulated) const {
    const bool wants_Y = dY.data != nullptr;
    const bool wants_A = dA.data != nullptr;
    const bool wants_B = dB.data != nullptr;
    if (!wants_A && !wants_B) {
      if (wants_Y) apply_adjoint(workspace, G, dY);
      return;
    }
    const auto frame = workspace.frame();
    const cudaStream_t stream = workspace.context().stream();
    const Batches batches(*this, workspace, Y.cols, {.backward = wants_Y},
                          {.forward = wants_Y || wants_A, .backward = wants_B});
    const Transforms of_A(workspace, n_, wants_A ? r_ : 0, 0, {.forward = false});
    const Index spectra = wants_A ? 2 * bins_ * r_ : 0;
    R* sums_A = workspace.take_array<R>(spectra);
    const MatrixView<R> sums_B = workspace.take<R>(n_, wants_B ? r_ : 0);
    const MatrixView<R> rows = workspace.take<R>(n_, wants_A ? r_ : 0);
    void* work = take_work(workspace, of_A);
    clear(stream, sums_A, spectra);
    clear(stream, sums_B.data, sums_B.rows * sums_B.cols);
    batches.run([&](Index j, Index count) {
      const LormaCudaCirculants s = sizes(count);
      const MatrixView<const S> g = G.col_range(j, count);
      batches.spectra_of(workspace, Y.col_range(j, count));
      if (wants_A || wants_Y) batches.spread(workspace, g);
      if (wants_A) {
        detail::check_cuda(
            "lorma_cuda_gradient_A",
            lorma_cuda_gradient_A(stream, s, batches.products, batches.columns, sums_A));
      }
      if (wants_B) {
        batches.correlate(workspace, count);
        detail::check_cuda(
            "lorma_cuda_gradient_B",
            lorma_cuda_gradient_B(stream, s, detail::kernel_matrix(g), batches.real, sums_B.data));
      }
      if (wants_Y) batches.fold(workspace, dY.col_range(j, count));
    });
    if (wants_A) {
      of_A.backward(work, r_, sums_A, rows.data);
      write(workspace, as_const(rows), dA.transposed(), accumulated);
    }
    if (wants_B) write(workspace, as_const(sums_B), dB, accumulated);
  }

  /// Each part (n x b_i) becomes P_i of itself, for operators of one n.
  static void apply_slices(Workspace& workspace, const std::vector<Factors<S>>& factors,
                           const std::vector<MatrixView<S>>& parts) {
    detail::SpectralSlices<S>(workspace, factors, parts).apply();
  }

 private:
  /// Plans and scratch for b columns, all made before anything is written. Scratch is used by
  /// turns:
  ///   real        the columns themselves, then whatever goes into or comes out of a transform
  ///   columns     F y_c, then sums over q
  ///   products    F (B_q . g_c)
  ///   spectra     conj(F A_q) F y_c
  struct Batches {
    /// `one`: which ways the columns are transformed, `many`: which ways their r products are.
    Batches(const Operator& P, Workspace& workspace, Index b, const Directions& one,
            const Directions& many)
        : P_(P),
          b_(b),
          width_(batch_width(P, workspace.context().options(), b)),
          // A batch transforms w columns and r w products of them; so does the last, narrower one.
          narrow_(workspace, P.n_, width_, b % width_, one),
          wide_(workspace, P.n_, P.r_ * width_, P.r_ * (b % width_), many),
          work_(workspace.template take_array<std::byte>(
              static_cast<Index>(std::max(narrow_.work_bytes(), wide_.work_bytes())))),
          real(workspace.template take_array<R>(P.n_ * P.r_ * width_)),
          columns(workspace.template take_array<R>(2 * P.bins_ * width_)),
          products(workspace.template take_array<R>(2 * P.bins_ * P.r_ * width_)),
          spectra(many.forward && many.backward
                      ? workspace.template take_array<R>(2 * P.bins_ * P.r_ * width_)
                      : products) {}

    static Index batch_width(const Operator& P, const CudaOptions& options, Index b) {
      const auto bytes = static_cast<std::size_t>(2 * P.bins_ * P.r_) * sizeof(R);
      const auto most = static_cast<Index>(options.spectral_bytes / bytes);
      return std::min(std::max<Index>(1, most), std::max<Index>(1, b));
    }

    template <typename F>
    void run(F&& f) const {
      for (Index j = 0; j < b_; j += width_) f(j, std::min(width_, b_ - j));
    }

    void spectra_of(Workspace& workspace, const MatrixView<const S>& Y) const {
      copy(workspace, Y, MatrixView<R>(real, Y.rows, Y.cols, Y.rows));
      narrow_.forward(work_, Y.cols, real, columns);
    }
    /// real = n C(A_q) y_c for all q and c.
    void correlate(Workspace& workspace, Index count) const {
      detail::check_cuda("lorma_cuda_correlate",
                         lorma_cuda_correlate(workspace.context().stream(), P_.sizes(count),
                                              P_.spectrum_A_, columns, spectra));
      wide_.backward(work_, P_.r_ * count, spectra, real);
    }
    void spread(Workspace& workspace, const MatrixView<const S>& G) const {
      detail::check_cuda(
          "lorma_cuda_spread",
          lorma_cuda_spread(workspace.context().stream(), P_.sizes(G.cols),
                            detail::kernel_matrix(P_.f_.B), detail::kernel_matrix(G), real));
      wide_.forward(work_, P_.r_ * G.cols, real, products);
    }
    /// out_c = s sum_q C(A_q)^T (B_q . g_c) from the spectra of the latter.
    void fold(Workspace& workspace, const MatrixView<S>& out) const {
      detail::check_cuda("lorma_cuda_convolve",
                         lorma_cuda_convolve(workspace.context().stream(), P_.sizes(out.cols),
                                             P_.spectrum_A_, products, columns));
      narrow_.backward(work_, out.cols, columns, real);
      copy(workspace, MatrixView<const R>(real, out.rows, out.cols, out.rows), out, P_.scale());
    }

   private:
    const Operator& P_;
    Index b_;
    Index width_;
    Transforms narrow_;
    Transforms wide_;
    void* work_;

   public:
    R* real;
    R* columns;
    R* products;
    R* spectra;
  };

  LormaCudaCirculants sizes(Index columns) const {
    return detail::circulant_sizes<R>(n_, r_, columns);
  }
  /// 2.5 n log2 n where n has no prime factor above 7; otherwise Bluestein's algorithm, two complex
  /// transforms of a power of two of at least 2 n - 1.
  static double one_transform(double n) {
    auto rest = static_cast<long long>(n);
    for (const long long p : {2LL, 3LL, 5LL, 7LL}) {
      while (rest > 1 && rest % p == 0) rest /= p;
    }
    if (rest == 1) return 2.5 * n * std::log2(std::max(2.0, n));
    const double levels = std::ceil(std::log2(2 * n - 1));
    return 10.0 * std::exp2(levels) * levels;
  }

  /// s, and the 1 / n that cuFFT leaves out.
  double scale() const { return static_cast<double>(f_.scale) / static_cast<double>(n_); }

  static void* take_work(Workspace& workspace, const Transforms& transforms) {
    return workspace.take_array<std::byte>(static_cast<Index>(transforms.work_bytes()));
  }
  static void clear(cudaStream_t stream, R* data, Index count) {
    if (count == 0) return;
    detail::check_cuda(
        "cudaMemsetAsync",
        cudaMemsetAsync(data, 0, static_cast<std::size_t>(count) * sizeof(R), stream));
  }
  template <typename T, typename U>
  static void copy(Workspace& workspace, const MatrixView<T>& from, const MatrixView<U>& to,
                   double scale = 1.0) {
    detail::kernel_copy(workspace.context(), scale, from, to);
  }
  /// to = or += s / n from.
  void write(Workspace& workspace, const MatrixView<const R>& from, const MatrixView<S>& to,
             bool accumulated) const {
    if (!accumulated) return copy(workspace, from, to, scale());
    detail::kernel_add(workspace.context(), scale(), from, to);
  }

  Factors<S> f_;
  Index n_;
  Index bins_;
  Index r_;
  R* spectrum_A_;  ///< F A_q, q-th at 2 bins q
};

}  // namespace lorma::inline LORMA_ABI

#endif
