// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_SPECTRAL_HPP
#define LORMA_OPERATORS_SPECTRAL_HPP

/// A turn of M without an n x n matrix: P = s sum_q diag(B_q) C(A_q), where C(a) is the circular
/// cross-correlation with a, (C(a) y)(i) = sum_m a(m) y((i + m) mod n).
///
/// With F the discrete Fourier transform, C(a) y = F^-1 (conj(F a) . F y). Two real columns travel
/// as one complex one. Lengths that the transforms do not like (fft/plan.hpp) use the next one
/// above 2n - 2, y laid out periodically. Cost of b columns in real transforms of length n: r + 1
/// for apply and for apply_adjoint, 2 r + 2 for vjp; memory O(n r) a task. Sums over the batch are
/// taken in the spectrum, by groups of columns whose size follows from b alone.

#include <algorithm>
#include <cmath>

#include "lorma/backend/host_memory.hpp"
#include "lorma/fft/engine.hpp"
#include "lorma/inflation/inflation.hpp"
#include "lorma/operators/operator.hpp"
#include "lorma/operators/spectral_panels.hpp"

namespace lorma::inline LORMA_ABI {

/// A device needs a specialization of its own.
template <TurnsRows Inflation, typename Backend, typename S>
class Operator<Spectral, Inflation, Backend, S> {
  static_assert(OnHost<Backend>,
                "lorma: Spectral is written for backends in memory of the process and for CuBlas, "
                "whose programs include lorma/cublas.hpp");
};

/// For every inflation that turns rows, on every backend in memory of the process.
template <TurnsRows Inflation, OnHost Backend, typename S>
class Operator<Spectral, Inflation, Backend, S> {
  using C = detail::ComplexLanes<S>;
  using Plan = detail::EnginePlan<S>;
  template <typename T>
  using Signal = detail::Signal<T>;
  using Scratch = detail::SpectralScratch<Backend, S>;
  using Panels = detail::SpectralPanels<Backend, S>;
  static constexpr Index W = detail::lane_count<S>;

 public:
  using Workspace = typename Backend::Workspace;

  /// Takes the spectra of A, scaled by s / N, and a copy of B: 3 r N numbers.
  Operator(Workspace& workspace, const Factors<S>& f)
      : f_(f),
        n_(f.dim()),
        r_(f.rank()),
        plan_(detail::shared_plan<Plan>(detail::transform_length<S>(n_))),
        N_(plan_->length()),
        size_(plan_->spectrum_size()),
        spectrum_A_(workspace.template take_array<C>(r_ * size_)),
        B_(workspace.template take<S>(N_, r_)),
        zeros_(workspace.template take_array<S>(N_)) {
    Backend::fill(workspace, S(0), B_);
    Backend::copy(workspace, f.B, B_.row_range(0, n_));
    std::fill_n(zeros_, N_, S(0));
    const auto frame = workspace.frame();
    const MatrixView<S> a = workspace.template take<S>(N_, 1);
    C* scratch = workspace.template take_array<C>(plan_->scratch_size());
    if (workspace.rehearsing()) return;
    Backend::fill(workspace, S(0), a);
    const S scale = f.scale / static_cast<S>(N_);
    for (Index q = 0; q < r_; ++q) {
      Backend::copy(workspace, f.A.row_range(q, 1).transposed(), a.row_range(0, n_));
      const Signal<const S> row{a.data, zeros_};
      C* to = spectrum_A_ + q * size_;
      detail::to_spectrum(
          *plan_, row, [to, scale](Index k, const C& x) { to[k] = detail::scaled(x, scale); },
          scratch);
    }
  }

  /// Nothing: transforming again is faster than reading (r + 1) times the size of Y from memory.
  static Index kept_size(Index /*n*/, Index /*r*/, Index /*b*/) { return 0; }

  /// Transforms of the length that is really taken, columns in pairs, and those of the factors.
  static Work work(Action action, double n, double r, double b) {
    const auto N = static_cast<double>(detail::transform_length<S>(static_cast<Index>(n)));
    const double transform = 2.5 * N * std::log2(std::max(N, 2.0));
    const double columns = 2 * std::ceil(b / 2);
    if (action == Action::apply) {
      return {.transform = ((r + 1) * columns + 2 * r) * transform,
              .bytes = 2 * n * b * sizeof(S),
              .starts = 6};
    }
    return {.transform = ((2 * r + 2) * columns + 4 * r) * transform,
            .bytes = 3 * n * b * sizeof(S),
            .starts = 14};
  }

  void apply(Workspace& workspace, const MatrixView<const S>& Y, const MatrixView<S>& out,
             S* /*kept*/ = nullptr) const {
    panels(Y.cols, {Y.order, out.order}).run(workspace, [&](Index j, Index count, Scratch scratch) {
      apply_panel(Y.col_range(j, count), out.col_range(j, count), scratch);
    });
  }

  void apply_adjoint(Workspace& workspace, const MatrixView<const S>& G,
                     const MatrixView<S>& out) const {
    panels(G.cols, {G.order, out.order}).run(workspace, [&](Index j, Index count, Scratch scratch) {
      const auto in = scratch.input(G.col_range(j, count));
      const auto result = scratch.output(out.col_range(j, count));
      for (Index c = 0; c < count; c += 2) {
        const Signal<const S> g = signal(in, c, false, scratch.first);
        C* sum = scratch.sum;
        for (Index q = 0; q < r_; ++q) {
          const C* a = spectrum_A_ + q * size_;
          transform_scaled(q, g, scratch.scratch, [sum, a, first = q == 0](Index k, const C& x) {
            const C term = detail::multiply(x, a[k]);
            sum[k] = first ? term : sum[k] + term;
          });
        }
        fold_inverse(sum, result, c, scratch);
      }
      Scratch::write(result, out.col_range(j, count));
    });
  }

  void vjp(Workspace& workspace, const MatrixView<const S>& G, const MatrixView<const S>& Y,
           const S* /*kept*/, const MatrixView<S>& dY, const MatrixView<S>& dA,
           const MatrixView<S>& dB, bool accumulate) const {
    const bool wants_input = dY.data != nullptr;
    if (dA.data == nullptr && dB.data == nullptr) {
      if (wants_input) apply_adjoint(workspace, G, dY);
      return;
    }
    const auto frame = workspace.frame();
    const Index b = Y.cols;
    // Groups of 16 to 64 columns, by b alone; each sums by itself, then they are added in order to
    // the first, some at a time.
    const Index group = std::clamp<Index>((b + 15) / 16 * 2, 16, 64);
    const Index groups = (b + group - 1) / group;
    Panels all = panels(b, {G.order, Y.order, wants_input ? dY.order : G.order}, group);
    const Index tasks =
        std::clamp<Index>(workspace.executor().threads(), 1, std::max<Index>(1, groups));
    all.take(workspace, tasks);
    const Index numbers = r_ * (2 * W * size_ + N_);
    S* total = workspace.template take_array<S>(numbers);
    S* partial = workspace.template take_array<S>(groups > 1 ? tasks * numbers : 0);
    if (groups == 0) std::fill_n(total, numbers, S(0));
    for (Index done = 0; done < groups; done += tasks) {
      const Index now = std::min(tasks, groups - done);
      workspace.executor().parallel_for(now, [&](Index task) {
        S* sums = done + task == 0 ? total : partial + task * numbers;
        std::fill_n(sums, numbers, S(0));
        const Index begin = (done + task) * group;
        all.for_panels(
            begin, std::min(b, begin + group), 1, task, [&](Index j, Index count, Scratch scratch) {
              vjp_panel(G.col_range(j, count), Y.col_range(j, count),
                        wants_input ? dY.col_range(j, count) : MatrixView<S>(), sums, scratch);
            });
      });
      if (workspace.rehearsing()) break;
      for (Index task = done == 0 ? 1 : 0; task < now; ++task) {
        const S* sums = partial + task * numbers;
        for (Index i = 0; i < numbers; ++i) total[i] += sums[i];
      }
    }
    write_gradients(workspace, total, dA, dB, accumulate);
  }

  /// apply on the columns of one panel, in memory of the caller: for batches of several adapters.
  void apply_panel(const MatrixView<const S>& Y, const MatrixView<S>& out, Scratch scratch) const {
    const auto in = scratch.input(Y);
    const auto result = scratch.output(out);
    for (Index c = 0; c < Y.cols; c += 2) {
      const Signal<const S> y = signal(in, c, true, scratch.first);
      transform(y, scratch.spectrum, scratch.scratch);
      const Signal<S> h = N_ == n_ ? columns(result, c, scratch.second) : scratch.second;
      std::fill_n(h.re, N_, S(0));
      std::fill_n(h.im, N_, S(0));
      for (Index q = 0; q < r_; ++q) {
        correlate(q, scratch.spectrum, scratch.scratch,
                  detail::AddWeighted<S>{h, B_.data + q * N_});
      }
      if (N_ != n_) copy_out(h, result, c);
    }
    Scratch::write(result, out);
  }

  Panels panels(Index b, std::initializer_list<StorageOrder> orders, Index widest = 32) const {
    return Panels(N_, size_, plan_->scratch_size(), b, orders, widest);
  }

 private:
  /// The gradients of one panel: dY written, dA in the spectrum and dB added to `sums`.
  void vjp_panel(const MatrixView<const S>& G, const MatrixView<const S>& Y,
                 const MatrixView<S>& dY, S* sums, Scratch scratch) const {
    auto* const sums_A = reinterpret_cast<C*>(sums);
    S* const sums_B = sums + r_ * 2 * W * size_;
    const auto in_G = scratch.input(G);
    const auto in_Y = scratch.input(Y);
    const bool wants_input = dY.data != nullptr;
    const auto result = wants_input ? scratch.output(dY) : MatrixView<S>();
    for (Index c = 0; c < Y.cols; c += 2) {
      transform(signal(in_Y, c, true, scratch.first), scratch.spectrum, scratch.scratch);
      const Signal<const S> g = signal(in_G, c, false, scratch.first);
      C* sum = scratch.sum;
      for (Index q = 0; q < r_; ++q) {
        C* to_A = sums_A + q * size_;
        S* to_B = sums_B + q * N_;
        const C* a = spectrum_A_ + q * size_;
        transform_scaled(q, g, scratch.scratch,
                         [sum, a, to_A, y = scratch.spectrum, first = q == 0](Index k, const C& x) {
                           const C term = detail::multiply(x, a[k]);
                           sum[k] = first ? term : sum[k] + term;
                           to_A[k] = to_A[k] + detail::multiply_conjugate(y[k], x);
                         });
        correlate(q, scratch.spectrum, scratch.scratch, detail::AddProduct<S>{to_B, g});
      }
      if (wants_input) fold_inverse(sum, result, c, scratch);
    }
    if (wants_input) Scratch::write(result, dY);
  }

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
  void fold_inverse(const C* sum, const MatrixView<S>& out, Index c, const Scratch& scratch) const {
    const Signal<S> h = N_ == n_ ? columns(out, c, scratch.second) : scratch.second;
    detail::from_spectrum(
        *plan_, [sum](Index k) { return sum[k]; }, h, scratch.scratch);
    if (N_ == n_) return;
    detail::fold(h.re, N_, n_, out.data + c * out.ld);
    if (c + 1 < out.cols) detail::fold(h.im, N_, n_, out.data + (c + 1) * out.ld);
  }

  /// dA from the summed spectra, dB from the sums.
  void write_gradients(Workspace& workspace, const S* sums, const MatrixView<S>& dA,
                       const MatrixView<S>& dB, bool accumulate) const {
    const auto write = [&](const MatrixView<const S>& from, const MatrixView<S>& to) {
      accumulate ? Backend::add(workspace, from, to) : Backend::copy(workspace, from, to);
    };
    if (dB.data != nullptr) {
      write(MatrixView<const S>(sums + r_ * 2 * W * size_, n_, r_, N_), dB);
    }
    if (dA.data == nullptr) return;
    const auto frame = workspace.frame();
    const MatrixView<S> row = workspace.template take<S>(N_, 2);
    C* scratch = workspace.template take_array<C>(plan_->scratch_size());
    if (workspace.rehearsing()) return;
    const Signal<S> x{row.data, row.data + N_};
    const S scale = f_.scale / static_cast<S>(N_);
    for (Index q = 0; q < r_; ++q) {
      detail::from_spectrum(
          *plan_,
          [from = reinterpret_cast<const C*>(sums) + q * size_, scale](Index k) {
            return detail::scaled(from[k], scale);
          },
          x, scratch);
      write(as_const(row.block(0, 0, n_, 1)), dA.row_range(q, 1).transposed());
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

}  // namespace lorma::inline LORMA_ABI

#endif
