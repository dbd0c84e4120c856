// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_SPECTRAL_HPP
#define LORMA_OPERATORS_SPECTRAL_HPP

/// CyclicPermutation without an n x n matrix: P = s sum_q diag(B_q) C(A_q), where C(a) is the
/// circular cross-correlation with a, (C(a) y)(i) = sum_m a(m) y((i + m) mod n).
///
/// With F the discrete Fourier transform, C(a) y = F^-1 (conj(F a) . F y). Two real columns travel
/// as one complex one. Lengths that the transforms do not like (fft/plan.hpp) use the next one
/// above 2n - 2, y laid out periodically. Cost of b columns in real transforms of length n: r + 1
/// for apply and for apply_adjoint, 2 r + 2 for vjp; memory O(n r) a thread. Sums over the batch
/// are taken in the spectrum.

#include <algorithm>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/fft/engine.hpp"
#include "lorma/fft/signal.hpp"
#include "lorma/inflation/cyclic_permutation.hpp"
#include "lorma/operators/operator.hpp"

namespace lorma::inline LORMA_ABI {

template <typename S>
class Operator<Spectral, CyclicPermutation, EigenCpu, S> {
  using C = detail::ComplexLanes<S>;
  using Plan = detail::EnginePlan<S>;
  template <typename T>
  using Signal = detail::Signal<T>;
  static constexpr Index W = detail::lane_count<S>;

 public:
  using Workspace = EigenCpu::Workspace;

  /// Takes the spectra of A, scaled by s / N, and a copy of B: 3 r N numbers.
  Operator(Workspace& workspace, const Factors<S>& f)
      : f_(f),
        n_(f.dim()),
        r_(f.rank()),
        plan_(detail::shared_plan<Plan>(detail::transform_length<S>(n_))),
        N_(plan_->length()),
        size_(plan_->spectrum_size()),
        spectrum_A_(workspace.take_array<C>(r_ * size_)),
        B_(workspace.take<S>(N_, r_)),
        zeros_(workspace.take_array<S>(N_)) {
    EigenCpu::fill(workspace, S(0), B_);
    EigenCpu::copy(workspace, f.B, B_.row_range(0, n_));
    std::fill_n(zeros_, N_, S(0));
    const auto frame = workspace.frame();
    const MatrixView<S> a = workspace.take<S>(N_, 1);
    C* scratch = workspace.take_array<C>(plan_->scratch_size());
    EigenCpu::fill(workspace, S(0), a);
    const S scale = f.scale / static_cast<S>(N_);
    for (Index q = 0; q < r_; ++q) {
      EigenCpu::copy(workspace, f.A.row_range(q, 1).transposed(), a.row_range(0, n_));
      const Signal<const S> row{a.data, zeros_};
      C* to = spectrum_A_ + q * size_;
      detail::to_spectrum(
          *plan_, row, [to, scale](Index k, const C& x) { to[k] = detail::scaled(x, scale); },
          scratch);
    }
  }

  /// Nothing: transforming again is faster than reading (r + 1) times the size of Y from memory.
  static Index kept_size(Index /*n*/, Index /*r*/, Index /*b*/) { return 0; }

  void apply(Workspace& workspace, const MatrixView<const S>& Y, const MatrixView<S>& out,
             S* /*kept*/ = nullptr) const {
    const Panels panels(*this, {Y.order, out.order});
    panels.run(workspace, Y.cols, [&](Index j, Index count, Index, Memory memory) {
      const auto in = memory.input(Y.col_range(j, count));
      const auto result = memory.output(out.col_range(j, count));
      for (Index c = 0; c < count; c += 2) {
        const Signal<const S> y = signal(in, c, true, memory.first);
        transform(y, memory.spectrum, memory.scratch);
        const Signal<S> h = N_ == n_ ? columns(result, c, memory.second) : memory.second;
        std::fill_n(h.re, N_, S(0));
        std::fill_n(h.im, N_, S(0));
        for (Index q = 0; q < r_; ++q) {
          correlate(q, memory.spectrum, memory.scratch,
                    detail::AddWeighted<S>{h, B_.data + q * N_});
        }
        if (N_ != n_) copy_out(h, result, c);
      }
      memory.write(workspace, result, out.col_range(j, count));
    });
  }

  void apply_adjoint(Workspace& workspace, const MatrixView<const S>& G,
                     const MatrixView<S>& out) const {
    const Panels panels(*this, {G.order, out.order});
    panels.run(workspace, G.cols, [&](Index j, Index count, Index, Memory memory) {
      const auto in = memory.input(G.col_range(j, count));
      const auto result = memory.output(out.col_range(j, count));
      for (Index c = 0; c < count; c += 2) {
        const Signal<const S> g = signal(in, c, false, memory.first);
        C* sum = memory.sum;
        for (Index q = 0; q < r_; ++q) {
          const C* a = spectrum_A_ + q * size_;
          transform_scaled(q, g, memory.scratch, [sum, a, first = q == 0](Index k, const C& x) {
            const C term = detail::multiply(x, a[k]);
            sum[k] = first ? term : sum[k] + term;
          });
        }
        fold_inverse(sum, result, c, memory);
      }
      memory.write(workspace, result, out.col_range(j, count));
    });
  }

  void vjp(Workspace& workspace, const MatrixView<const S>& G, const MatrixView<const S>& Y,
           const S* /*kept*/, const MatrixView<S>& dY, const MatrixView<S>& dA,
           const MatrixView<S>& dB) const {
    const auto frame = workspace.frame();
    const bool wants_input = dY.data != nullptr;
    const Panels panels(*this, {G.order, Y.order, wants_input ? dY.order : G.order});
    const Index threads = panels.thread_count(Y.cols);
    // Sums over the batch, one set a thread, added in a fixed order at the end.
    C* sums_A = workspace.take_array<C>(threads * r_ * size_);
    S* sums_B = workspace.take_array<S>(threads * r_ * N_);
    std::fill_n(sums_A, threads * r_ * size_, C{});
    std::fill_n(sums_B, threads * r_ * N_, S(0));
    panels.run(workspace, Y.cols, [&](Index j, Index count, Index thread, Memory memory) {
      const auto in_G = memory.input(G.col_range(j, count));
      const auto in_Y = memory.input(Y.col_range(j, count));
      const auto result = wants_input ? memory.output(dY.col_range(j, count)) : MatrixView<S>();
      for (Index c = 0; c < count; c += 2) {
        transform(signal(in_Y, c, true, memory.first), memory.spectrum, memory.scratch);
        const Signal<const S> g = signal(in_G, c, false, memory.first);
        C* sum = memory.sum;
        for (Index q = 0; q < r_; ++q) {
          C* to_A = sums_A + (thread * r_ + q) * size_;
          S* to_B = sums_B + (thread * r_ + q) * N_;
          const C* a = spectrum_A_ + q * size_;
          transform_scaled(
              q, g, memory.scratch,
              [sum, a, to_A, y = memory.spectrum, first = q == 0](Index k, const C& x) {
                const C term = detail::multiply(x, a[k]);
                sum[k] = first ? term : sum[k] + term;
                to_A[k] = to_A[k] + detail::multiply_conjugate(y[k], x);
              });
          correlate(q, memory.spectrum, memory.scratch, detail::AddProduct<S>{to_B, g});
        }
        if (wants_input) fold_inverse(sum, result, c, memory);
      }
      if (wants_input) memory.write(workspace, result, dY.col_range(j, count));
    });
    reduce(workspace, threads, sums_A, sums_B, dA, dB);
  }

 private:
  /// What one thread works in.
  struct Memory {
    Signal<S> first;
    Signal<S> second;
    C* spectrum;
    C* sum;
    C* scratch;
    S* panels;
    Index panel_size;

    /// The columns, stored one after the other: themselves, or a copy.
    MatrixView<const S> input(const MatrixView<const S>& X) {
      if (X.col_major()) return X;
      const MatrixView<S> copy = output(X);
      Workspace unused;
      EigenCpu::copy(unused, X, copy);
      return copy;
    }
    /// Room for columns to be written.
    template <typename T>
    MatrixView<S> output(const MatrixView<T>& X) {
      if constexpr (!std::is_const_v<T>) {
        if (X.col_major()) return X;
      }
      const MatrixView<S> panel(panels, X.rows, X.cols, X.rows);
      panels += panel_size;
      return panel;
    }
    void write(Workspace& workspace, const MatrixView<S>& panel, const MatrixView<S>& X) const {
      if (!X.col_major()) EigenCpu::copy(workspace, as_const(panel), X);
    }
  };

  /// Shares columns out among threads: in pairs, or in panels where some matrix is row-major and
  /// single columns of it would be read from every cache line.
  class Panels {
   public:
    Panels(const Operator& op, std::initializer_list<StorageOrder> orders) : op_(op) {
      for (const StorageOrder order : orders) row_major_ += order == StorageOrder::RowMajor ? 1 : 0;
      width_ = row_major_ > 0 ? 32 : 2;
    }

    Index thread_count([[maybe_unused]] Index b) const {
#ifdef _OPENMP
      if (omp_in_parallel()) return 1;
      return std::clamp<Index>(Eigen::nbThreads(), 1,
                               std::max<Index>((b + width_ - 1) / width_, 1));
#else
      return 1;
#endif
    }

    /// Calls f(first column, columns, thread, memory) for all b columns.
    template <typename F>
    void run(Workspace& workspace, Index b, F&& f) const {
      const auto frame = workspace.frame();
      const Index N = op_.N_;
      const Index panel = row_major_ > 0 ? N * width_ : 0;
      const Index spectra = 2 * op_.size_ + op_.plan_->scratch_size();
      const Index numbers = 4 * N + 2 * W * spectra + row_major_ * panel;
      const Index threads = thread_count(b);
      S* memory = workspace.take_array<S>(threads * numbers);
      const auto work = [&](Index thread) {
        S* at = memory + thread * numbers;
        auto* spectrum = reinterpret_cast<C*>(at + 4 * N);
        C* sum = spectrum + op_.size_;
        C* scratch = sum + op_.size_;
        S* panels = at + 4 * N + 2 * W * spectra;
        const Memory own{{at, at + N}, {at + 2 * N, at + 3 * N}, spectrum, sum, scratch, panels,
                         panel};
        for (Index j = thread * width_; j < b; j += threads * width_) {
          f(j, std::min(width_, b - j), thread, own);
        }
      };
      if (threads == 1) {
        work(0);
        return;
      }
#ifdef _OPENMP
#pragma omp parallel for num_threads(static_cast <int>(threads)) schedule(static, 1)
      for (Index thread = 0; thread < threads; ++thread) work(thread);
#endif
    }

   private:
    const Operator& op_;
    Index row_major_ = 0;
    Index width_;
  };

  /// Columns c and c + 1 of X where they lie; the second may be missing.
  template <typename T>
  Signal<T> columns(const MatrixView<T>& X, Index c, const Signal<S>& spare) const {
    T* re = X.data + c * X.ld;
    if (c + 1 < X.cols) return {re, re + X.ld};
    if constexpr (std::is_const_v<T>) {
      return {re, zeros_};
    } else {
      return {re, spare.im};
    }
  }
  /// The same with N numbers each.
  Signal<const S> signal(const MatrixView<const S>& X, Index c, bool periodic,
                         const Signal<S>& buffer) const {
    const Signal<const S> pair = columns(X, c, buffer);
    if (N_ == n_) return pair;
    detail::extend(pair.re, n_, periodic, buffer.re, N_);
    detail::extend(pair.im, n_, periodic, buffer.im, N_);
    return {buffer.re, buffer.im};
  }
  void copy_out(const Signal<S>& h, const MatrixView<S>& out, Index c) const {
    std::copy_n(h.re, n_, out.data + c * out.ld);
    if (c + 1 < out.cols) std::copy_n(h.im, n_, out.data + (c + 1) * out.ld);
  }

  void transform(const Signal<const S>& y, C* spectrum, C* scratch) const {
    detail::to_spectrum(
        *plan_, y, [spectrum](Index k, const C& x) { spectrum[k] = x; }, scratch);
  }

  /// Spectrum of B_q . g.
  template <typename Store>
  void transform_scaled(Index q, const Signal<const S>& g, C* scratch, const Store& store) const {
    detail::to_spectrum(*plan_, detail::Weighted<S>{g, B_.data + q * N_}, store, scratch);
  }

  /// u = s C(A_q) y from the spectrum of y.
  template <typename Target>
  void correlate(Index q, const C* spectrum, C* scratch, const Target& to) const {
    const C* a = spectrum_A_ + q * size_;
    detail::from_spectrum(
        *plan_, [spectrum, a](Index k) { return detail::multiply_conjugate(spectrum[k], a[k]); },
        to, scratch);
  }

  /// Back from the spectrum of the sum of convolutions, into columns c and c + 1.
  void fold_inverse(const C* sum, const MatrixView<S>& out, Index c, const Memory& memory) const {
    const Signal<S> h = N_ == n_ ? columns(out, c, memory.second) : memory.second;
    detail::from_spectrum(
        *plan_, [sum](Index k) { return sum[k]; }, h, memory.scratch);
    if (N_ == n_) return;
    detail::fold(h.re, N_, n_, out.data + c * out.ld);
    if (c + 1 < out.cols) detail::fold(h.im, N_, n_, out.data + (c + 1) * out.ld);
  }

  /// dA from the summed spectra, dB from the sums.
  void reduce(Workspace& workspace, Index threads, C* sums_A, S* sums_B, const MatrixView<S>& dA,
              const MatrixView<S>& dB) const {
    for (Index t = 1; t < threads; ++t) {
      for (Index k = 0; k < r_ * size_; ++k) sums_A[k] = sums_A[k] + sums_A[t * r_ * size_ + k];
      for (Index i = 0; i < r_ * N_; ++i) sums_B[i] += sums_B[t * r_ * N_ + i];
    }
    EigenCpu::copy(workspace, MatrixView<const S>(sums_B, n_, r_, N_), dB);
    const auto frame = workspace.frame();
    const MatrixView<S> row = workspace.take<S>(N_, 2);
    C* scratch = workspace.take_array<C>(plan_->scratch_size());
    const Signal<S> x{row.data, row.data + N_};
    const S scale = f_.scale / static_cast<S>(N_);
    for (Index q = 0; q < r_; ++q) {
      detail::from_spectrum(
          *plan_,
          [from = sums_A + q * size_, scale](Index k) { return detail::scaled(from[k], scale); }, x,
          scratch);
      EigenCpu::copy(workspace, as_const(row.block(0, 0, n_, 1)), dA.row_range(q, 1).transposed());
    }
  }

  Factors<S> f_;
  Index n_;
  Index r_;
  std::shared_ptr<const Plan> plan_;
  Index N_;
  Index size_;       ///< elements of a spectrum
  C* spectrum_A_;    ///< (s / N) F A_q, q-th at q size
  MatrixView<S> B_;  ///< N x r, zero below n
  S* zeros_;         ///< N
};

/// On a backend with a circulant sum of its own.
template <typename Backend, typename S>
requires requires {
  typename Backend::template CirculantSum<S>;
}
class Operator<Spectral, CyclicPermutation, Backend, S> : public Backend::template CirculantSum<S> {
  using Backend::template CirculantSum<S>::CirculantSum;
};

}  // namespace lorma::inline LORMA_ABI

#endif
