// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_BLOCK_TURN_HPP
#define LORMA_EXAMPLES_BLOCK_TURN_HPP

/// An inflation of one's own, complete: P is block diagonal, and inside each block rows are turned
/// as LoRMA_pi turns them.
///
/// Rows and columns are cut into blocks of `size` (the last may be shorter). With block [c, c + m),
///   P(c + i, c + j) = M(c + i, c + (j - i) mod m),   0 elsewhere.
/// A step between a diagonal and LoRMA_pi: outputs are mixed within a block only. P is neither
/// c I + M nor a turn of M, so nothing is declared: products are Dense, and the inverse is a
/// factorization. scaled_identity.hpp declares.

#include <cmath>
#include <lorma/lorma.hpp>

namespace lorma_examples {

template <lorma::Index size>
struct BlockTurn {
  static constexpr std::string_view name = "BlockTurn";
  using Evaluations = lorma::EvaluationList<lorma::Dense>;
  static constexpr lorma::Index copies = 2;  // the second half of T is the room we work in
  static constexpr bool starts_as_identity = true;

  /// T = [M M]; P is written over the right half.
  template <typename Backend, typename S>
  static lorma::MatrixView<S> inflate(typename Backend::Workspace&, const lorma::MatrixView<S>& T) {
    const lorma::Index n = T.rows;
    const auto M = T.col_range(0, n);
    const auto P = T.col_range(n, n);
    for_entries(n, P, [&](lorma::Index row, lorma::Index from, lorma::Index to) {
      P(row, to) = M(row, from);
    });
    return P;
  }

  /// T = [dP dP]; dM is written over the right half: the same pairs, read the other way.
  template <typename Backend, typename S>
  static lorma::MatrixView<S> deflate(typename Backend::Workspace&, const lorma::MatrixView<S>& T) {
    const lorma::Index n = T.rows;
    const auto dP = T.col_range(0, n);
    const auto dM = T.col_range(n, n);
    for_entries(n, dM, [&](lorma::Index row, lorma::Index from, lorma::Index to) {
      dM(row, from) = dP(row, to);
    });
    return dM;
  }

  /// B random but for its first column of ones, A zero but for ones where each block begins.
  template <typename S, typename Urbg>
  static void initialize(const lorma::MatrixView<S>& B, const lorma::MatrixView<S>& A, S scale,
                         Urbg& urbg) {
    const auto root = static_cast<S>(std::sqrt(static_cast<double>(scale)));
    lorma::fill_uniform(B, 1.0 / std::sqrt(static_cast<double>(B.cols)), urbg);
    for (lorma::Index i = 0; i < B.rows; ++i) B(i, 0) = S(1) / root;
    for (lorma::Index c = 0; c < A.cols; c += size) A(0, c) = S(1) / root;
  }

 private:
  /// Clears `out`, then calls f(row, column in M, column in P) for every entry that P has.
  template <typename S, typename F>
  static void for_entries(lorma::Index n, const lorma::MatrixView<S>& out, F&& f) {
    for (lorma::Index i = 0; i < n; ++i) {
      for (lorma::Index j = 0; j < n; ++j) out(i, j) = S(0);
      const lorma::Index c = i / size * size;
      const lorma::Index m = std::min(size, n - c);
      for (lorma::Index t = 0; t < m; ++t) f(i, c + t, c + (i - c + t) % m);
    }
  }
};

}  // namespace lorma_examples

#endif
