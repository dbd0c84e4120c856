// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_SPECTRAL_HPP
#define LORMA_OPERATORS_SPECTRAL_HPP

/// A turn of M without an n x n matrix: P = s sum_q diag(B_q) C(A_q), where C(a) is the circular
/// cross-correlation with a, (C(a) y)(i) = sum_m a(m) y((i + m) mod n).
///
/// A real column travels as a complex one of half its length, its even entries the real parts
/// (docs/mathematics.md, section 4): columns never meet, so column j of a result follows from column
/// j alone, to the bit. Factors and columns are brought near 1 by powers of two, so nothing
/// overflows or vanishes on the way. Lengths that the transforms do not like (fft/plan.hpp) use the
/// next one above 2n - 2, y laid out periodically. Cost of b columns in real transforms of length n:
/// r + 1 for apply and for apply_adjoint, 2 r + 2 for vjp; memory O(n r) a task. Sums over the batch
/// are taken in the spectrum, by groups of columns whose size follows from b alone.

#include <algorithm>
#include <cmath>

#include "lorma/backend/host_memory.hpp"
#include "lorma/core/power_of_two.hpp"
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

  /// Takes two spectra of each row of A and a copy of B: 3 r N numbers.
  Operator(Workspace& workspace, const Factors<S>& f)
      : n_(f.dim()),
        r_(f.rank()),
        N_(detail::signal_length<S>(n_)),
        plan_(detail::shared_plan<Plan>(N_ / 2)),
        size_(plan_->spectrum_size()),
        spectra_A_(workspace.template take_array<C>(2 * r_ * size_)),
        B_(workspace.template take_array<S>(r_ * N_)),
        scale_exponent_(detail::exponent_of(f.scale)),
        A_exponent_(largest_exponent(f.A)),
        B_exponent_(largest_exponent(f.B)),
        scale_(f.scale * detail::power_of_two<S>(-scale_exponent_) / static_cast<S>(N_ / 2)) {
    const auto frame = workspace.frame();
    S* const column = workspace.template take_array<S>(N_);
    const Signal<S> x = signal_at(workspace.template take_array<S>(N_));
    const Signal<S> y = signal_at(workspace.template take_array<S>(N_));
    C* scratch = workspace.template take_array<C>(plan_->scratch_size());
    std::fill_n(column, N_, S(0));
    const MatrixView<S> place(column, n_, 1, n_);
    const S scale_B = detail::power_of_two<S>(-B_exponent_);
    const S scale_A = detail::power_of_two<S>(-A_exponent_);
    for (Index q = 0; q < r_; ++q) {
      Backend::copy(workspace, f.B.col_range(q, 1), place);
      detail::unzip(column, N_, scale_B, signal_at(B_ + q * N_));
    }
    // With a = e + T o, T the turn by one: the signals e + i (o - T^2 o) / 2 and -i (o + T^2 o) / 2.
    std::fill_n(y.re, N_ / 2, S(0));
    for (Index q = 0; q < r_; ++q) {
      Backend::copy(workspace, f.A.row_range(q, 1).transposed(), place);
      detail::unzip(column, N_, scale_A, x);
      S last = x.im[N_ / 2 - 1];
      for (Index i = 0; i < N_ / 2; ++i) {
        const S odd = x.im[i];
        x.im[i] = S(0.5) * (odd - last);
        y.im[i] = S(-0.5) * (odd + last);
        last = odd;
      }
      for (const auto& [signal, to] : {std::pair(x, direct(q)), std::pair(y, crossed(q))}) {
        detail::to_spectrum(
            *plan_, signal,
            [to = to, scale = scale_](Index k, const C& v) { to[k] = detail::scaled(v, scale); },
            scratch);
      }
    }
  }

  /// Nothing: transforming again is faster than reading (r + 1) times the size of Y from memory.
  static Index kept_size(Index /*n*/, Index /*r*/, Index /*b*/) { return 0; }

  /// Transforms of the length that is really taken, and those of the factors.
  static Work work(Action action, double n, double r, double b) {
    const auto N = static_cast<double>(detail::signal_length<S>(static_cast<Index>(n)));
    const double transform = 2.5 * N * std::log2(std::max(N, 2.0));
    if (action == Action::apply) {
      return {.transform = ((r + 1) * b + 2 * r) * transform,
              .bytes = 2 * n * b * sizeof(S),
              .starts = 6};
    }
    return {.transform = ((2 * r + 2) * b + 4 * r) * transform,
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
      for (Index c = 0; c < count; ++c) {
        const S* g = in.data + c * in.ld;
        const int exponent = detail::largest_exponent(g, n_);
        read(g, false, -exponent, scratch.column, scratch.first);
        for (Index q = 0; q < r_; ++q) {
          transform_weighted(q, scratch.first, scratch.scratch,
                             AddConvolution{q == 0, direct(q), crossed(q), scratch.sum,
                                            scratch.sum_mirrored});
        }
        write_adjoint(exponent, result.data + c * result.ld, scratch);
      }
      scratch.write(result, out.col_range(j, count));
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
    // Groups of 16 to 32 columns, by b alone; each sums by itself, then they are added in order to
    // the first, some at a time.
    const Index group = std::clamp<Index>((b + 15) / 16 * 2, 16, 32);
    const Index groups = (b + group - 1) / group;
    Panels all = panels(b, {G.order, Y.order, wants_input ? dY.order : G.order}, group);
    const Index tasks =
        std::clamp<Index>(workspace.executor().threads(), 1, std::max<Index>(1, groups));
    all.take(workspace, tasks);
    const Index numbers = r_ * (4 * W * size_ + N_);
    // Sums stand for 2^exponent of themselves.
    S* total = workspace.template take_array<S>(numbers);
    S* partial = workspace.template take_array<S>(groups > 1 ? tasks * numbers : 0);
    int* exponents = workspace.template take_array<int>(tasks);
    int exponent = 0;
    if (groups == 0) std::fill_n(total, numbers, S(0));
    for (Index done = 0; done < groups; done += tasks) {
      const Index now = std::min(tasks, groups - done);
      workspace.executor().parallel_for(now, [&](Index task) {
        S* sums = done + task == 0 ? total : partial + task * numbers;
        std::fill_n(sums, numbers, S(0));
        const Index j = (done + task) * group;
        const Index count = std::min(group, b - j);
        exponents[task] = vjp_panel(G.col_range(j, count), Y.col_range(j, count),
                                    wants_input ? dY.col_range(j, count) : MatrixView<S>(), sums,
                                    all.scratch_of(task));
      });
      if (done == 0) exponent = exponents[0];
      for (Index task = done == 0 ? 1 : 0; task < now; ++task) {
        const int common = std::max(exponent, exponents[task]);
        const S old_scale = detail::power_of_two<S>(exponent - common);
        const S scale = detail::power_of_two<S>(exponents[task] - common);
        const S* sums = partial + task * numbers;
        for (Index i = 0; i < numbers; ++i) total[i] = total[i] * old_scale + sums[i] * scale;
        exponent = common;
      }
    }
    write_gradients(workspace, total, exponent, dA, dB, accumulate);
  }

  /// apply on the columns of one panel, in memory of the caller: for batches of several adapters.
  void apply_panel(const MatrixView<const S>& Y, const MatrixView<S>& out, Scratch scratch) const {
    const auto in = scratch.input(Y);
    const auto result = scratch.output(out);
    for (Index c = 0; c < Y.cols; ++c) {
      const S* y = in.data + c * in.ld;
      const int exponent = detail::largest_exponent(y, n_);
      read(y, true, -exponent, scratch.column, scratch.first);
      transform(scratch);
      std::fill_n(scratch.second.re, N_, S(0));
      for (Index q = 0; q < r_; ++q) {
        correlate(q, scratch, detail::AddWeighted<S>{scratch.second, signal_at(B_ + q * N_)});
      }
      S* const to = result.data + c * result.ld;
      S* const joined = N_ == n_ ? to : scratch.column;
      detail::zip<S>(scratch.second, N_, joined);
      finish(joined, n_, exponent + A_exponent_ + B_exponent_ + scale_exponent_, to);
    }
    scratch.write(result, out);
  }

  Panels panels(Index b, std::initializer_list<StorageOrder> orders, Index widest = 32) const {
    return Panels(N_, size_, plan_->scratch_size(), b, orders, widest);
  }

 private:
  /// Takes the spectrum of B_q . g into the sums of convolutions with A_q.
  struct AddConvolution {
    bool first;
    const C* direct;
    const C* crossed;
    C* sum;
    C* sum_mirrored;
    void operator()(Index k, const C& x) const {
      const C a = detail::multiply(x, direct[k]);
      const C b = detail::multiply(x, crossed[k]);
      sum[k] = first ? a : sum[k] + a;
      sum_mirrored[k] = first ? b : sum_mirrored[k] + b;
    }
  };

  /// The gradients of one panel: dY written, dA in the spectrum and dB added to `sums`, both divided
  /// by 2^e; returns e.
  int vjp_panel(const MatrixView<const S>& G, const MatrixView<const S>& Y, const MatrixView<S>& dY,
                S* sums, Scratch scratch) const {
    auto* const sums_A = reinterpret_cast<C*>(sums);
    S* const sums_B = sums + r_ * 4 * W * size_;
    const auto in_G = scratch.input(G);
    const auto in_Y = scratch.input(Y);
    const bool wants_input = dY.data != nullptr;
    const auto result = wants_input ? scratch.output(dY) : MatrixView<S>();
    int common = std::numeric_limits<int>::min();
    for (Index c = 0; c < Y.cols; ++c) {
      common = std::max(common, detail::largest_exponent(in_G.data + c * in_G.ld, n_) +
                                    detail::largest_exponent(in_Y.data + c * in_Y.ld, n_));
    }
    for (Index c = 0; c < Y.cols; ++c) {
      const S* g = in_G.data + c * in_G.ld;
      const int exponent = detail::largest_exponent(g, n_);
      read(in_Y.data + c * in_Y.ld, true, exponent - common, scratch.column, scratch.first);
      transform(scratch);
      read(g, false, -exponent, scratch.column, scratch.first);
      for (Index q = 0; q < r_; ++q) {
        C* const to_direct = sums_A + 2 * q * size_;
        transform_weighted(
            q, scratch.first, scratch.scratch,
            [convolution = AddConvolution{q == 0, direct(q), crossed(q), scratch.sum,
                                          scratch.sum_mirrored},
             to_direct, to_crossed = to_direct + size_, y = scratch.spectrum,
             mirrored = scratch.mirrored](Index k, const C& x) {
              convolution(k, x);
              to_direct[k] = to_direct[k] + detail::multiply_conjugate(y[k], x);
              to_crossed[k] = to_crossed[k] + detail::multiply_conjugate(mirrored[k], x);
            });
        correlate(q, scratch, detail::AddProduct<S>{signal_at(sums_B + q * N_), scratch.first});
      }
      if (wants_input) write_adjoint(exponent, result.data + c * result.ld, scratch);
    }
    if (wants_input) scratch.write(result, dY);
    return common;
  }

  Signal<S> signal_at(S* x) const { return {x, x + N_ / 2}; }
  C* direct(Index q) const { return spectra_A_ + 2 * q * size_; }
  C* crossed(Index q) const { return direct(q) + size_; }

  static int largest_exponent(const MatrixView<const S>& X) {
    int result = -detail::largest_power<S>;
    for (Index o = 0; o < (X.col_major() ? X.cols : X.rows); ++o) {
      result = std::max(result, detail::largest_exponent(X.data + o * X.ld,
                                                         X.col_major() ? X.rows : X.cols));
    }
    return result;
  }

  /// A column times 2^exponent as a signal of N numbers.
  void read(const S* x, bool periodic, int exponent, S* column, const Signal<S>& to) const {
    if (N_ != n_) detail::extend(x, n_, periodic, column, N_);
    detail::unzip(N_ != n_ ? column : x, N_, detail::power_of_two<S>(exponent), to);
  }
  /// to = 2^exponent x.
  static void finish(const S* x, Index n, int exponent, S* to) {
    const int half = std::clamp(exponent, -detail::largest_power<S>, detail::largest_power<S>);
    const S first = detail::power_of_two<S>(half);
    const S second = detail::power_of_two<S>(exponent - half);
    for (Index i = 0; i < n; ++i) to[i] = x[i] * first * second;
  }

  /// Both spectra of scratch.first.
  void transform(const Scratch& scratch) const {
    detail::to_spectrum(
        *plan_, scratch.first, [to = scratch.spectrum](Index k, const C& x) { to[k] = x; },
        scratch.scratch);
    detail::mirror(*plan_, scratch.spectrum, scratch.mirrored, scratch.scratch);
  }

  /// Spectrum of B_q . g.
  template <typename Store>
  void transform_weighted(Index q, const Signal<S>& g, C* scratch, const Store& store) const {
    detail::to_spectrum(*plan_, detail::Weighted<S>{g, signal_at(B_ + q * N_)}, store, scratch);
  }

  /// C(A_q) y from the spectra of y.
  template <typename Target>
  void correlate(Index q, const Scratch& scratch, const Target& to) const {
    detail::from_spectrum(
        *plan_,
        [y = scratch.spectrum, mirrored = scratch.mirrored, a = direct(q),
         b = crossed(q)](Index k) {
          return detail::multiply_conjugate(y[k], a[k]) +
                 detail::multiply_conjugate(mirrored[k], b[k]);
        },
        to, scratch.scratch);
  }

  /// A column of P^T g from the sums of convolutions, g having been divided by 2^exponent.
  void write_adjoint(int exponent, S* to, const Scratch& scratch) const {
    detail::mirror(*plan_, scratch.sum_mirrored, scratch.mirrored, scratch.scratch);
    detail::from_spectrum(
        *plan_,
        [sum = scratch.sum, mirrored = scratch.mirrored](Index k) { return sum[k] + mirrored[k]; },
        scratch.second, scratch.scratch);
    S* const joined = N_ == n_ ? to : scratch.column;
    detail::zip<S>(scratch.second, N_, joined);
    if (N_ != n_) detail::fold(joined, N_, n_, to);
    finish(to, n_, exponent + A_exponent_ + B_exponent_ + scale_exponent_, to);
  }

  /// dA from the summed spectra, dB from the sums, both times 2^exponent.
  void write_gradients(Workspace& workspace, const S* sums, int exponent, const MatrixView<S>& dA,
                       const MatrixView<S>& dB, bool accumulate) const {
    const auto frame = workspace.frame();
    S* const column = workspace.template take_array<S>(N_);
    const auto write = [&](const Signal<const S>& from, int e, const MatrixView<S>& to) {
      detail::zip<S>(from, N_, column);
      finish(column, n_, e + exponent + scale_exponent_, column);
      const MatrixView<const S> result(column, n_, 1, n_);
      accumulate ? Backend::add(workspace, result, to) : Backend::copy(workspace, result, to);
    };
    if (dB.data != nullptr) {
      const S* from = sums + r_ * 4 * W * size_;
      for (Index q = 0; q < r_; ++q, from += N_) {
        write({from, from + N_ / 2}, A_exponent_, dB.col_range(q, 1));
      }
    }
    if (dA.data == nullptr) return;
    const Signal<S> x = signal_at(workspace.template take_array<S>(N_));
    const Signal<S> y = signal_at(workspace.template take_array<S>(N_));
    C* scratch = workspace.template take_array<C>(plan_->scratch_size());
    const auto* from = reinterpret_cast<const C*>(sums);
    for (Index q = 0; q < r_; ++q) {
      for (const auto& to : {x, y}) {
        detail::from_spectrum(
            *plan_, [from, scale = scale_](Index k) { return detail::scaled(from[k], scale); }, to,
            scratch);
        from += size_;
      }
      // The adjoint of what the constructor does.
      const S first = x.im[0];
      const S first_y = y.im[0];
      for (Index i = 0; i < N_ / 2; ++i) {
        const bool last = i + 1 == N_ / 2;
        x.im[i] = S(0.5) * (x.im[i] - y.im[i] - (last ? first : x.im[i + 1]) -
                            (last ? first_y : y.im[i + 1]));
      }
      write(x, B_exponent_, dA.row_range(q, 1).transposed());
    }
  }

  Index n_;
  Index r_;
  Index N_;
  std::shared_ptr<const Plan> plan_;
  Index size_;     ///< elements of a spectrum
  C* spectra_A_;   ///< two for each row of A
  S* B_;           ///< r signals of N
  int scale_exponent_;
  int A_exponent_;
  int B_exponent_;
  S scale_;        ///< s 2^-scale_exponent / (N / 2)
};

}  // namespace lorma::inline LORMA_ABI

#endif
