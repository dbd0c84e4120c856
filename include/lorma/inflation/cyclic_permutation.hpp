// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_INFLATION_CYCLIC_PERMUTATION_HPP
#define LORMA_INFLATION_CYCLIC_PERMUTATION_HPP

/// LoRMA_pi: I(M)(i, j) = M(i, (j - i) mod n), row i turned right by i (the paper's I_pi).
///
/// With two copies of M side by side, [M M] row-major of row length 2n, element (i, j) of I(M) is
/// element (i, n + j - i): address n + i (2n - 1) + j. So I(M) is the view that starts at column n
/// with leading dimension 2n - 1, and its inverse the one that starts at 0 with 2n + 1. A backend
/// may turn the rows of one copy instead (rotates<S>, rotate).

#include <cmath>

#include "lorma/core/random.hpp"
#include "lorma/inflation/inflation.hpp"

namespace lorma::inline LORMA_ABI {

namespace detail {

/// Whether a backend would rather turn the rows in a pass of its own than multiply by the view:
/// tensor cores read 16 bytes at a time, which an odd leading dimension rules out.
template <typename Backend, typename S>
inline constexpr bool rotates = false;
template <typename Backend, typename S>
requires requires {
  requires Backend::template rotates<S>;
}
inline constexpr bool rotates<Backend, S> = true;

}  // namespace detail

struct CyclicPermutation {
  static constexpr std::string_view name = "CyclicPermutation";
  using Evaluations = EvaluationList<Spectral, Dense>;
  static constexpr Index copies = 2;
  /// A pass that turns the rows reads one.
  template <typename Backend, typename S>
  static constexpr Index copies_for = detail::rotates<Backend, S> ? 1 : copies;
  static constexpr bool starts_as_identity = true;
  static constexpr bool turns_rows = true;

  template <typename Backend, typename S>
  static MatrixView<S> inflate([[maybe_unused]] typename Backend::Workspace& workspace,
                               const MatrixView<S>& T) {
    const Index n = T.rows;
    if constexpr (detail::rotates<Backend, S>) {
      return rotated<Backend>(workspace, 1, T);
    } else {
      return {T.data + n, n, n, 2 * n - 1, StorageOrder::RowMajor};
    }
  }
  template <typename Backend, typename S>
  static MatrixView<S> deflate([[maybe_unused]] typename Backend::Workspace& workspace,
                               const MatrixView<S>& T) {
    const Index n = T.rows;
    if constexpr (detail::rotates<Backend, S>) {
      return rotated<Backend>(workspace, -1, T);
    } else {
      return {T.data, n, n, 2 * n + 1, StorageOrder::RowMajor};
    }
  }

  /// B ~ U(-1/sqrt(r), 1/sqrt(r)), then B(:,0) = 1; A = 0 but A(0,0) = 1; both divided by sqrt(s).
  template <typename S, typename Urbg>
  static void initialize(const MatrixView<S>& B, const MatrixView<S>& A, S scale, Urbg& urbg) {
    const double root = std::sqrt(static_cast<double>(scale));
    fill_uniform(B, 1.0 / (std::sqrt(static_cast<double>(B.cols)) * root), urbg);
    for (Index i = 0; i < B.rows; ++i) B(i, 0) = static_cast<S>(1.0 / root);
    A(0, 0) = static_cast<S>(1.0 / root);
  }

 private:
  /// In memory of the workspace, each row at a multiple of 16 bytes.
  template <typename Backend, typename S>
  static MatrixView<S> rotated(typename Backend::Workspace& workspace, int direction,
                               const MatrixView<S>& T) {
    constexpr Index numbers = 16 / Index(sizeof(S));
    const Index ld = (T.rows + numbers - 1) / numbers * numbers;
    const MatrixView<S> padded =
        workspace.template take<S>(T.rows, ld, StorageOrder::RowMajor).col_range(0, T.rows);
    Backend::rotate(workspace, direction, as_const(T), padded);
    return padded;
  }
};

static_assert(InflationPolicy<CyclicPermutation>);

}  // namespace lorma::inline LORMA_ABI

#endif
