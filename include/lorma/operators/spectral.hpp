// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_SPECTRAL_HPP
#define LORMA_OPERATORS_SPECTRAL_HPP

/// CyclicPermutation without an n x n matrix: P = s sum_q diag(B_q) C(A_q), where C(a) is the
/// circular cross-correlation with a, (C(a) y)(i) = sum_m a(m) y((i + m) mod n).
///
/// With F the discrete Fourier transform, C(a) y = F^-1 (conj(F a) . F y). Two real columns travel
/// as one complex one: C(a) is real-linear, so nothing needs unpacking and odd lengths are no
/// exception. Lengths with a prime factor above 7 use the next smooth length above 2n - 2, y laid
/// out periodically. Cost of b columns in real transforms of length n: r + 1 for apply and for
/// apply_adjoint, 2 r + 2 for vjp (r + 1 with what apply kept); memory O(n r) and a tile of columns
/// a thread.

#include <algorithm>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/fft/stockham.hpp"
#include "lorma/fft/tiles.hpp"
#include "lorma/inflation/cyclic_permutation.hpp"
#include "lorma/operators/operator.hpp"

namespace lorma::inline LORMA_ABI {

template <typename S>
class Operator<Spectral, CyclicPermutation, EigenCpu, S> {
  using V = detail::Lanes<S>;
  using C = detail::ComplexLanes<S>;
  using Root = detail::ComplexScalar<S>;
  static constexpr Index W = detail::lane_count<S>;
  static constexpr Index columns = detail::tile_columns<S>;

 public:
  using Workspace = EigenCpu::Workspace;

  /// Takes the spectra of A, scaled by s / N: 2 r N numbers.
  Operator(Workspace& workspace, const Factors<S>& f)
      : f_(f),
        n_(f.dim()),
        r_(f.rank()),
        plan_(detail::fft_plan<S>(detail::transform_length(n_))),
        N_(plan_->length()),
        spectrum_A_(workspace.take_array<Root>(r_ * N_)),
        B_(workspace.take<S>(n_, r_)) {
    EigenCpu::copy(workspace, f.B, B_);
    const auto frame = workspace.frame();
    C* tile = workspace.take_array<C>(n_);
    C* scratch = workspace.take_array<C>(2 * N_);
    const S scale = f.scale / static_cast<S>(N_);
    for (Index q0 = 0; q0 < r_; q0 += W) {
      const Index count = std::min(W, r_ - q0);
      const MatrixView<const S> rows = f.A.row_range(q0, count).transposed();
      auto* numbers = reinterpret_cast<S*>(tile);
      detail::load_half(rows, numbers, 2 * W);
      detail::load_half(rows.col_range(0, 0), numbers + W, 2 * W);
      detail::transform<false>(
          *plan_, [&](Index i) { return i < n_ ? tile[i] : C{}; },
          [&](Index k, const C& x) {
            S re[W];
            S im[W];
            detail::store_lanes<S>(re, x.re);
            detail::store_lanes<S>(im, x.im);
            for (Index l = 0; l < count; ++l) {
              spectrum_A_[(q0 + l) * N_ + k] = {scale * re[l], scale * im[l]};
            }
          },
          scratch);
    }
  }

  /// The spectrum of Y and s C(A_q) Y for every q, (r + 1) times the size of Y, as long as that
  /// stays in the last-level cache; recomputing is as fast beyond it.
  static Index kept_size(Index n, Index r, Index b) {
    constexpr Index limit = (Index(16) << 20) / Index(sizeof(S));
    const Index size = tiles_of(b) * kept_of_tile(n, r, detail::transform_length(n));
    return size <= limit ? size : 0;
  }

  void apply(Workspace& workspace, const MatrixView<const S>& Y, const MatrixView<S>& out,
             S* kept = nullptr) const {
    if (kept != nullptr && kept_size(n_, r_, Y.cols) == 0) kept = nullptr;
    for_tiles(workspace, Y.cols, n_ + 3 * N_, [&](Index t, Index, C* memory) {
      C* tile = memory;
      C* spectrum = tile + n_;
      C* scratch = spectrum + N_;
      S* keep = kept == nullptr ? nullptr : kept + t * kept_of_tile(n_, r_, N_);
      detail::load_tile(Y, t * columns, tile);
      transform_periodic(tile, spectrum, scratch);
      if (keep != nullptr) std::copy_n(reinterpret_cast<const S*>(spectrum), 2 * W * N_, keep);
      std::fill_n(tile, n_, C{});
      for (Index q = 0; q < r_; ++q) {
        const S* b = B_.data + q * n_;
        if (keep == nullptr) {
          correlate(q, spectrum, scratch, [&](Index i, const C& u) {
            tile[i].re += b[i] * u.re;
            tile[i].im += b[i] * u.im;
          });
        } else {
          S* keep_q = keep + 2 * W * (N_ + q * n_);
          correlate(q, spectrum, scratch, [&](Index i, const C& u) {
            detail::store_lanes<S>(keep_q + 2 * W * i, u.re);
            detail::store_lanes<S>(keep_q + 2 * W * i + W, u.im);
            tile[i].re += b[i] * u.re;
            tile[i].im += b[i] * u.im;
          });
        }
      }
      detail::store_tile(tile, out, t * columns);
    });
  }

  void apply_adjoint(Workspace& workspace, const MatrixView<const S>& G,
                     const MatrixView<S>& out) const {
    for_tiles(workspace, G.cols, n_ + 3 * N_, [&](Index t, Index, C* memory) {
      C* tile = memory;
      C* sum = tile + n_;
      C* scratch = sum + N_;
      detail::load_tile(G, t * columns, tile);
      std::fill_n(sum, N_, C{});
      for (Index q = 0; q < r_; ++q) {
        transform_scaled(q, tile, scratch, [&, a = spectrum_A_ + q * N_](Index k, const C& x) {
          sum[k] = sum[k] + detail::multiply(x, a[k]);
        });
      }
      fold_inverse(sum, tile, scratch);
      detail::store_tile(tile, out, t * columns);
    });
  }

  void vjp(Workspace& workspace, const MatrixView<const S>& G, const MatrixView<const S>& Y,
           const S* kept, const MatrixView<S>& dY, const MatrixView<S>& dA,
           const MatrixView<S>& dB) const {
    if (kept != nullptr && kept_size(n_, r_, Y.cols) == 0) kept = nullptr;
    const auto frame = workspace.frame();
    const bool wants_input = dY.data != nullptr;
    const Index threads = thread_count(tiles_of(Y.cols));
    // Sums over the batch, lane by lane, one set a thread, added in a fixed order at the end.
    C* sums_A = workspace.take_array<C>(threads * r_ * N_);
    V* sums_B = workspace.take_array<V>(threads * r_ * n_);
    std::fill_n(sums_A, threads * r_ * N_, C{});
    std::fill_n(sums_B, threads * r_ * n_, V{});
    for_tiles(workspace, Y.cols, n_ + 4 * N_, [&](Index t, Index thread, C* memory) {
      C* tile = memory;
      C* spectrum_Y = tile + n_;
      C* sum = spectrum_Y + N_;
      C* scratch = sum + N_;
      const S* keep = kept == nullptr ? nullptr : kept + t * kept_of_tile(n_, r_, N_);
      if (keep == nullptr) {
        detail::load_tile(Y, t * columns, tile);
        transform_periodic(tile, spectrum_Y, scratch);
      } else {
        std::copy_n(keep, 2 * W * N_, reinterpret_cast<S*>(spectrum_Y));
      }
      detail::load_tile(G, t * columns, tile);
      std::fill_n(sum, N_, C{});
      for (Index q = 0; q < r_; ++q) {
        C* to_A = sums_A + (thread * r_ + q) * N_;
        V* to_B = sums_B + (thread * r_ + q) * n_;
        const Root* a = spectrum_A_ + q * N_;
        transform_scaled(q, tile, scratch, [&](Index k, const C& x) {
          const C y = spectrum_Y[k];
          sum[k] = sum[k] + detail::multiply(x, a[k]);
          to_A[k].re += x.re * y.re + x.im * y.im;
          to_A[k].im += x.re * y.im - x.im * y.re;
        });
        if (keep == nullptr) {
          correlate(q, spectrum_Y, scratch,
                    [&](Index i, const C& u) { to_B[i] += tile[i].re * u.re + tile[i].im * u.im; });
        } else {
          const S* keep_q = keep + 2 * W * (N_ + q * n_);
          for (Index i = 0; i < n_; ++i) {
            to_B[i] += tile[i].re * detail::load_lanes<S>(keep_q + 2 * W * i) +
                       tile[i].im * detail::load_lanes<S>(keep_q + 2 * W * i + W);
          }
        }
      }
      if (wants_input) {
        fold_inverse(sum, tile, scratch);
        detail::store_tile(tile, dY, t * columns);
      }
    });
    reduce(workspace, threads, sums_A, sums_B, dA, dB);
  }

 private:
  static Index tiles_of(Index b) { return (b + columns - 1) / columns; }
  static Index kept_of_tile(Index n, Index r, Index N) { return 2 * W * (N + r * n); }

  static Index thread_count([[maybe_unused]] Index tiles) {
#ifdef _OPENMP
    if (omp_in_parallel()) return 1;
    return std::clamp<Index>(Eigen::nbThreads(), 1, std::max<Index>(tiles, 1));
#else
    return 1;
#endif
  }

  /// Runs f(tile, thread, memory) for every tile of b columns, `size` lanes of memory a thread.
  template <typename F>
  void for_tiles(Workspace& workspace, Index b, Index size, F&& f) const {
    const auto frame = workspace.frame();
    const Index tiles = tiles_of(b);
    const Index threads = thread_count(tiles);
    C* memory = workspace.take_array<C>(threads * size);
    if (threads == 1) {
      for (Index t = 0; t < tiles; ++t) f(t, Index(0), memory);
      return;
    }
#ifdef _OPENMP
#pragma omp parallel for num_threads(static_cast <int>(threads)) schedule(static, 1)
    for (Index part = 0; part < threads; ++part) {
      for (Index t = part; t < tiles; t += threads) f(t, part, memory + part * size);
    }
#endif
  }

  /// Spectrum of a tile of Y; y repeats where the transform is longer than n.
  void transform_periodic(const C* tile, C* spectrum, C* scratch) const {
    const auto store = [spectrum](Index k, const C& x) { spectrum[k] = x; };
    if (N_ == n_) {
      detail::transform<false>(
          *plan_, [tile](Index i) { return tile[i]; }, store, scratch);
    } else {
      detail::transform<false>(
          *plan_,
          [tile, n = n_](Index i) { return i < n           ? tile[i]
                                           : i < 2 * n - 1 ? tile[i - n]
                                                           : C{}; },
          store, scratch);
    }
  }

  /// Spectrum of B_q . g.
  template <typename Store>
  void transform_scaled(Index q, const C* tile, C* scratch, const Store& store) const {
    const S* b = B_.data + q * n_;
    if (N_ == n_) {
      detail::transform<false>(
          *plan_, [tile, b](Index i) { return detail::scaled(tile[i], b[i]); }, store, scratch);
    } else {
      detail::transform<false>(
          *plan_,
          [tile, b, n = n_](Index i) { return i < n ? detail::scaled(tile[i], b[i]) : C{}; }, store,
          scratch);
    }
  }

  /// u = s C(A_q) y from the spectrum of y.
  template <typename Store>
  void correlate(Index q, const C* spectrum, C* scratch, const Store& store) const {
    const Root* a = spectrum_A_ + q * N_;
    const auto load = [spectrum, a](Index k) {
      return detail::multiply_conjugate(spectrum[k], a[k]);
    };
    if (N_ == n_) {
      detail::transform<true>(*plan_, load, store, scratch);
    } else {
      detail::transform<true>(
          *plan_, load,
          [&store, n = n_](Index i, const C& u) {
            if (i < n) store(i, u);
          },
          scratch);
    }
  }

  /// Back from the spectrum of the sum of convolutions; the periodic layout's adjoint adds its
  /// copies.
  void fold_inverse(const C* sum, C* tile, C* scratch) const {
    const auto load = [sum](Index k) { return sum[k]; };
    if (N_ == n_) {
      detail::transform<true>(
          *plan_, load, [tile](Index i, const C& x) { tile[i] = x; }, scratch);
    } else {
      std::fill_n(tile, n_, C{});
      detail::transform<true>(
          *plan_, load,
          [tile, n = n_](Index i, const C& x) {
            if (i < 2 * n - 1) {
              C& to = tile[i < n ? i : i - n];
              to = to + x;
            }
          },
          scratch);
    }
  }

  /// dA from the summed spectra, dB from the summed lanes.
  void reduce(Workspace& workspace, Index threads, C* sums_A, V* sums_B, const MatrixView<S>& dA,
              const MatrixView<S>& dB) const {
    const auto frame = workspace.frame();
    C* lanes = workspace.take_array<C>(N_);
    C* scratch = workspace.take_array<C>(2 * N_);
    for (Index t = 1; t < threads; ++t) {
      for (Index k = 0; k < r_ * N_; ++k) sums_A[k] = sums_A[k] + sums_A[t * r_ * N_ + k];
      for (Index i = 0; i < r_ * n_; ++i) sums_B[i] += sums_B[t * r_ * n_ + i];
    }
    for (Index q = 0; q < r_; ++q) {
      for (Index i = 0; i < n_; ++i) dB(i, q) = detail::sum_of_lanes<S>(sums_B[q * n_ + i]);
    }
    // W of the r spectra at a time, one in each lane.
    const S scale = f_.scale / static_cast<S>(N_);
    for (Index q0 = 0; q0 < r_; q0 += W) {
      const Index count = std::min(W, r_ - q0);
      for (Index k = 0; k < N_; ++k) {
        S re[W] = {};
        S im[W] = {};
        for (Index l = 0; l < count; ++l) {
          re[l] = detail::sum_of_lanes<S>(sums_A[(q0 + l) * N_ + k].re);
          im[l] = detail::sum_of_lanes<S>(sums_A[(q0 + l) * N_ + k].im);
        }
        lanes[k] = {detail::load_lanes<S>(re), detail::load_lanes<S>(im)};
      }
      detail::transform<true>(
          *plan_, [lanes](Index k) { return lanes[k]; },
          [&](Index i, const C& x) {
            if (i >= n_) return;
            S re[W];
            detail::store_lanes<S>(re, x.re);
            for (Index l = 0; l < count; ++l) dA(q0 + l, i) = scale * re[l];
          },
          scratch);
    }
  }

  Factors<S> f_;
  Index n_;
  Index r_;
  std::shared_ptr<const detail::FftPlan<S>> plan_;
  Index N_;
  Root* spectrum_A_;  ///< (s / N) F A_q, q-th at q N
  MatrixView<S> B_;   ///< n x r, column-major
};

}  // namespace lorma::inline LORMA_ABI

#endif
