// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_SPECTRAL_COLUMNS_HPP
#define LORMA_OPERATORS_SPECTRAL_COLUMNS_HPP

/// Between the caller's columns and the signals that Spectral transforms: two at a time, each
/// divided by a power of two near its largest entry.

#include <algorithm>
#include <array>
#include <tuple>

#include "lorma/operators/spectral_panels.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// Those of two columns.
struct Exponents {
  std::array<int, 2> of;

  Exponents negated() const { return {{-of[0], -of[1]}}; }
  Exponents plus(int e) const { return {{of[0] + e, of[1] + e}}; }
};

/// Columns of length n, stored one after the other, as signals of N >= n numbers.
template <typename Backend, typename S>
class SpectralColumns {
  using Scratch = SpectralScratch<Backend, S>;

 public:
  SpectralColumns(Workspace& workspace, Index n, Index N)
      : n_(n), N_(N), zeros_(workspace.take_array<S>(N)) {
    std::fill_n(zeros_, N_, S(0));
  }

  /// Of columns c and c + 1 of X; the second may be missing.
  Exponents exponents(const MatrixView<const S>& X, Index c) const {
    const auto of = [&](Index j) {
      return j < X.cols ? largest_exponent(X.data + j * X.ld, n_) : -largest_power<S>;
    };
    return {{of(c), of(c + 1)}};
  }

  /// Columns c and c + 1 of X times powers of two into scratch.first; zero for a missing one.
  void read(const MatrixView<const S>& X, Index c, bool periodic, const Exponents& exponents,
            const Scratch& scratch) const {
    std::array<const S*, 2> from{zeros_, zeros_};
    for (std::size_t h = 0; h < present(X.cols - c); ++h) {
      from[h] = X.data + (c + Index(h)) * X.ld;
      if (N_ == n_) continue;
      extend(from[h], n_, periodic, scratch.columns[h], N_);
      from[h] = scratch.columns[h];
    }
    unzip<S>(from, {power_of_two<S>(exponents.of[0]), power_of_two<S>(exponents.of[1])}, N_,
             scratch.first);
  }

  /// A signal times powers of two into columns c and c + 1 of X; folded: by the adjoint of `read`.
  void write(const Signal<S>& from, const Exponents& exponents, const MatrixView<S>& X, Index c,
             bool folded, const Scratch& scratch) const {
    std::array<S*, 2> to = scratch.columns;
    std::array<S, 2> scale{1, 1};
    std::array<S, 2> rest{1, 1};
    for (std::size_t h = 0; h < present(X.cols - c); ++h) {
      std::tie(scale[h], rest[h]) = two_powers<S>(exponents.of[h]);
      if (N_ == n_) to[h] = X.data + (c + Index(h)) * X.ld;
    }
    zip<S>(from, N_, N_ == n_ ? scale : std::array<S, 2>{1, 1}, to);
    for (std::size_t h = 0; h < present(X.cols - c); ++h) {
      S* const x = X.data + (c + Index(h)) * X.ld;
      if (N_ != n_) {
        if (folded) fold(to[h], N_, n_, to[h]);
        for (Index i = 0; i < n_; ++i) x[i] = to[h][i] * scale[h];
      }
      if (rest[h] == S(1)) continue;
      for (Index i = 0; i < n_; ++i) x[i] *= rest[h];
    }
  }

 private:
  static std::size_t present(Index columns) { return columns < 2 ? 1 : 2; }

  Index n_;
  Index N_;
  S* zeros_;  ///< N
};

/// largest_exponent of a matrix.
template <typename S>
int largest_exponent(const MatrixView<const S>& X) {
  const Index inner = X.col_major() ? X.rows : X.cols;
  const Index outer = X.col_major() ? X.cols : X.rows;
  if (X.ld == inner) return largest_exponent(X.data, inner * outer);
  int result = -largest_power<S>;
  for (Index o = 0; o < outer; ++o) {
    result = std::max(result, largest_exponent(X.data + o * X.ld, inner));
  }
  return result;
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
