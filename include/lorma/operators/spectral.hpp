// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_SPECTRAL_HPP
#define LORMA_OPERATORS_SPECTRAL_HPP

/// A rotation of M without an n x n matrix: P = s sum_q diag(B_q) C(A_q), where C(a) is the
/// circular cross-correlation with a, (C(a) y)(i) = sum_m a(m) y((i + m) mod n).
///
/// A real column is transformed as a complex one of half its length, its even entries being the
/// real parts (docs/mathematics.md, section 4): columns never mix, so column j of a result depends
/// on column j alone, to the bit. Factors and columns are scaled near 1 by powers of two, so no
/// intermediate value overflows or vanishes. Lengths that do not suit the transforms (fft/plan.hpp)
/// use the next good one above 2n - 2, with y extended periodically. Cost of b columns in real
/// transforms of length n: r + 1 for apply and for apply_adjoint, 2 r + 2 for vjp; memory O(n r)
/// per task. Sums over the batch are taken in the spectrum, by groups of columns whose size depends
/// on b alone.

#include <algorithm>
#include <cmath>

#include "lorma/backend/host_memory.hpp"
#include "lorma/fft/engine.hpp"
#include "lorma/inflation/inflation.hpp"
#include "lorma/operators/operator.hpp"
#include "lorma/operators/spectral_columns.hpp"
#include "lorma/operators/spectral_panels.hpp"

namespace lorma::inline LORMA_ABI {

/// A device needs a specialization of its own.
template <TurnsRows Inflation, typename Backend, typename S>
class Operator<Spectral, Inflation, Backend, S> {
  static_assert(OnHost<Backend>,
                "lorma: Spectral is written for backends in memory of the process and for CuBlas, "
                "whose programs include lorma/cublas.hpp");
};

/// For every inflation that turns rows, on every backend in host memory.
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
        spectra_A_(workspace.template take_array<C>(r_ * size_)),
        B_(workspace.template take_array<S>(r_ * N_)),
        columns_(workspace, n_, N_),
        exponent_(detail::exponent_of(f.scale)),
        exponent_A_(detail::largest_exponent(f.A)),
        exponent_B_(detail::largest_exponent(f.B)),
        scale_(2 * f.scale * detail::power_of_two<S>(-exponent_) / static_cast<S>(N_)) {
    const auto frame = workspace.frame();
    const MatrixView<S> packed(B_, N_, r_, N_);
    Backend::fill(workspace, S(0), packed.row_range(n_, N_ - n_));
    Backend::copy(workspace, f.B, packed.row_range(0, n_));
    const MatrixView<S> rows = workspace.template take<S>(W + N_, r_);
    Backend::fill(workspace, S(0), rows.row_range(W + n_, N_ - n_));
    Backend::copy(workspace, f.A.transposed(), rows.row_range(W, n_));
    const Signal<S> x = signal_at(workspace.template take_array<S>(2 * N_));
    C* scratch = workspace.template take_array<C>(plan_->scratch_size());
    if (workspace.rehearsing()) return;
    const S power_B = detail::power_of_two<S>(-exponent_B_);
    for (Index q = 0; q < r_; ++q) detail::pack(B_ + q * N_, power_B, N_, B_ + q * N_);
    const S power_A = detail::power_of_two<S>(-exponent_A_);
    for (Index q = 0; q < r_; ++q) {
      S* const row = rows.data + q * rows.ld + W;
      std::copy_n(row + N_ - 2, 2, row - 2);
      detail::unzip<S>({row, row - 2}, {power_A, power_A}, N_, x);
      cross(x);
      detail::to_spectrum(
          *plan_, x,
          [to = spectra_A_ + q * size_, scale = scale_](Index k, const C& v) {
            to[k] = detail::scaled(v, scale);
          },
          scratch);
    }
  }

  /// Nothing: transforming again is faster than reading (r + 1) times the size of Y from memory.
  static Index kept_size(Index /*n*/, Index /*r*/, Index /*b*/) { return 0; }

  /// Transforms of the length actually used, two columns at a time, and those of the factors.
  static Work work(Action action, double n, double r, double b) {
    const auto N = static_cast<double>(detail::signal_length<S>(static_cast<Index>(n)));
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
        const Exponents exponents = columns_.exponents(in, c);
        columns_.read(in, c, false, exponents.negated(), scratch);
        std::fill_n(scratch.sum, 2 * size_, C{});  // sum_mirrored too
        for (Index q = 0; q < r_; ++q) {
          transform_weighted(q, scratch.first, scratch.scratch, add_convolution(q, scratch));
        }
        write_adjoint(exponents, result, c, scratch);
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
    // Groups of 16 to 32 columns, set by b alone; each is summed by itself, then they are added to
    // the first in order, a few at a time.
    const Index group = std::clamp<Index>((b + 15) / 16 * 2, 16, widest);
    const Index groups = (b + group - 1) / group;
    Panels all = panels(b, {G.order, Y.order, wants_input ? dY.order : G.order}, group);
    const Index tasks =
        std::clamp<Index>(workspace.executor().threads(), 1, std::max<Index>(1, groups));
    all.take(workspace, tasks);
    const Index numbers = r_ * (2 * W * size_ + N_);
    // The true sums are these times 2^exponent.
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
      if (workspace.rehearsing()) break;
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

  /// apply on the columns of one panel, in the caller's memory: for batches of several adapters.
  void apply_panel(const MatrixView<const S>& Y, const MatrixView<S>& out, Scratch scratch) const {
    const auto in = scratch.input(Y);
    const auto result = scratch.output(out);
    for (Index c = 0; c < Y.cols; c += 2) {
      const Exponents exponents = columns_.exponents(in, c);
      columns_.read(in, c, true, exponents.negated(), scratch);
      transform(scratch);
      std::fill_n(scratch.second.re, 2 * N_, S(0));
      for (Index q = 0; q < r_; ++q) {
        correlate(q, scratch, detail::AddWeighted<S>{scratch.second, weights(q)});
      }
      columns_.write(scratch.second, exponents.plus(exponent_P()), result, c, false, scratch);
    }
    scratch.write(result, out);
  }

  Panels panels(Index b, std::initializer_list<StorageOrder> orders, Index width = widest) const {
    return Panels(N_, size_, plan_->scratch_size(), b, orders, width);
  }

 private:
  using Exponents = detail::Exponents;
  static constexpr Index widest = 32;

  /// Adds the spectrum of B_q . g to the sums of convolutions with A_q.
  auto add_convolution(Index q, const Scratch& scratch) const {
    return [A = spectra_A_ + q * size_, sum = scratch.sum, sum_mirrored = scratch.sum_mirrored](
               Index k, const C& x) {
      sum[k] = detail::plus_product(sum[k], x, direct(A[k]));
      sum_mirrored[k] = detail::plus_product(sum_mirrored[k], x, crossed(A[k]));
    };
  }

  /// The gradients of one panel: dY written, dA in the spectrum and dB added to `sums`, both
  /// divided by 2^e; returns e.
  int vjp_panel(const MatrixView<const S>& G, const MatrixView<const S>& Y, const MatrixView<S>& dY,
                S* sums, Scratch scratch) const {
    auto* const sums_A = reinterpret_cast<C*>(sums);
    S* const sums_B = sums + r_ * 2 * W * size_;
    const auto in_G = scratch.input(G);
    const auto in_Y = scratch.input(Y);
    const bool wants_input = dY.data != nullptr;
    const auto result = wants_input ? scratch.output(dY) : MatrixView<S>();
    int common = std::numeric_limits<int>::min();
    std::array<Exponents, widest / 2> exponents_G;
    for (Index c = 0; c < Y.cols; c += 2) {
      const Exponents of_G = columns_.exponents(in_G, c);
      const Exponents of_Y = columns_.exponents(in_Y, c);
      common = std::max({common, of_G.of[0] + of_Y.of[0], of_G.of[1] + of_Y.of[1]});
      exponents_G[std::size_t(c / 2)] = of_G;
    }
    for (Index c = 0; c < Y.cols; c += 2) {
      const Exponents exponents = exponents_G[std::size_t(c / 2)];
      columns_.read(in_Y, c, true, exponents.plus(-common), scratch);
      transform(scratch);
      columns_.read(in_G, c, false, exponents.negated(), scratch);
      std::fill_n(scratch.sum, 2 * size_, C{});  // sum_mirrored too
      for (Index q = 0; q < r_; ++q) {
        transform_weighted(
            q, scratch.first, scratch.scratch,
            [add = add_convolution(q, scratch), to_A = sums_A + q * size_, y = scratch.spectrum,
             mirrored = scratch.mirrored](Index k, const C& x) {
              add(k, x);
              const C a = detail::multiply_conjugate(y[k], x);
              const C b = detail::multiply_conjugate(mirrored[k], x);
              to_A[k] = to_A[k] +
                        C{detail::column_sums<S>(a.re, b.re), detail::column_sums<S>(a.im, b.im)};
            });
      }
      for (Index q = 0; q < r_; ++q) {
        correlate(q, scratch, detail::AddProduct<S>{sums_B + q * N_, scratch.first});
      }
      if (wants_input) write_adjoint(exponents, result, c, scratch);
    }
    if (wants_input) scratch.write(result, dY);
    return common;
  }

  int exponent_P() const { return exponent_ + exponent_A_ + exponent_B_; }
  Signal<S> signal_at(S* x) const { return {x, x + N_}; }
  detail::Packed<S> weights(Index q) const { return detail::Packed<S>(B_ + q * N_); }
  /// The two spectra of a row of A, in both places.
  static C direct(const C& a) { return twice(reinterpret_cast<const S*>(&a)); }
  static C crossed(const C& a) { return twice(reinterpret_cast<const S*>(&a) + W / 2); }
  static C twice(const S* a) { return {detail::load_twice(a), detail::load_twice(a + W)}; }

  /// From a = e + T o and T^2 a as two columns, with T the rotation by one, makes the signals
  /// e + i (o - T^2 o) / 2 and -i (o + T^2 o) / 2, whose spectra correlate with a
  /// (docs/mathematics.md, section 4); its own adjoint.
  void cross(const Signal<S>& x) const {
    constexpr Index V = W / 2;
    for (Index i = 0; i < N_; i += W) {
      for (Index l = i; l < i + V; ++l) {
        const S a = x.im[l];
        const S b = x.im[V + l];
        x.im[l] = S(0.5) * (a - b);
        x.im[V + l] = S(-0.5) * (a + b);
        x.re[V + l] = S(0);
      }
    }
  }

  /// Both spectra of scratch.first.
  void transform(const Scratch& scratch) const {
    const auto into = [](C* to) { return [to](Index k, const C& x) { to[k] = x; }; };
    detail::to_spectra(*plan_, scratch.first, into(scratch.spectrum), into(scratch.mirrored),
                       scratch.scratch);
  }

  /// Spectrum of B_q . g.
  template <typename Store>
  void transform_weighted(Index q, const Signal<S>& g, C* scratch, const Store& store) const {
    detail::to_spectrum(*plan_, detail::Weighted<S>{g, weights(q)}, store, scratch);
  }

  /// C(A_q) y from the spectra of y.
  template <typename Target>
  void correlate(Index q, const Scratch& scratch, const Target& to) const {
    detail::from_spectrum(
        *plan_,
        [y = scratch.spectrum, mirrored = scratch.mirrored, a = spectra_A_ + q * size_](Index k) {
          return detail::plus_conjugate_product(detail::multiply_conjugate(y[k], direct(a[k])),
                                                mirrored[k], crossed(a[k]));
        },
        to, scratch.scratch);
  }

  /// Columns c and c + 1 of P^T G from the sums of convolutions, G divided by 2^exponents.
  void write_adjoint(const Exponents& exponents, const MatrixView<S>& out, Index c,
                     const Scratch& scratch) const {
    const auto at = [](const C* from) { return [from](Index k) { return from[k]; }; };
    detail::from_spectra(*plan_, at(scratch.sum), at(scratch.sum_mirrored), scratch.second,
                         scratch.scratch);
    columns_.write(scratch.second, exponents.plus(exponent_P()), out, c, true, scratch);
  }

  /// dA from the summed spectra, dB from the sums, both times 2^exponent.
  void write_gradients(Workspace& workspace, const S* sums, int exponent, const MatrixView<S>& dA,
                       const MatrixView<S>& dB, bool accumulate) const {
    const auto frame = workspace.frame();
    const MatrixView<S> result = workspace.template take<S>(N_, r_);
    const auto write = [&](int e, const MatrixView<S>& to) {
      const auto [scale, rest] = detail::two_powers<S>(e + exponent + exponent_);
      const Index numbers = workspace.rehearsing() ? 0 : N_ * r_;
      for (Index i = 0; i < numbers; ++i) result.data[i] = result.data[i] * scale * rest;
      const auto from = as_const(result.row_range(0, n_));
      accumulate ? Backend::add(workspace, from, to) : Backend::copy(workspace, from, to);
    };
    if (dB.data != nullptr) {
      for (Index q = 0; q < r_ && !workspace.rehearsing(); ++q) {
        detail::unpack(sums + r_ * 2 * W * size_ + q * N_, N_, result.data + q * N_);
      }
      write(exponent_A_, dB);
    }
    if (dA.data == nullptr) return;
    S* const turned = workspace.template take_array<S>(N_ + W);
    const Signal<S> x = signal_at(workspace.template take_array<S>(2 * N_));
    C* scratch = workspace.template take_array<C>(plan_->scratch_size());
    if (workspace.rehearsing()) return;
    for (Index q = 0; q < r_; ++q) {
      detail::from_spectrum(
          *plan_,
          [from = reinterpret_cast<const C*>(sums) + q * size_](Index k) { return from[k]; }, x,
          scratch);
      cross(x);
      S* const row = result.data + q * N_;
      detail::zip<S>(x, N_, {scale_, scale_}, {row, turned});
      std::copy_n(turned, 2, turned + N_);
      for (Index i = 0; i < N_; ++i) row[i] += turned[i + 2];
    }
    write(exponent_B_, dA.transposed());
  }

  Index n_;
  Index r_;
  Index N_;
  std::shared_ptr<const Plan> plan_;
  Index size_;    ///< elements of a spectrum
  C* spectra_A_;  ///< two for each row of A
  S* B_;          ///< r packed columns
  detail::SpectralColumns<Backend, S> columns_;
  int exponent_;  ///< of s
  int exponent_A_;
  int exponent_B_;
  S scale_;  ///< s 2^-exponent / (N / 2)
};

}  // namespace lorma::inline LORMA_ABI

#endif
