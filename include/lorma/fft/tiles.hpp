// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_FFT_TILES_HPP
#define LORMA_FFT_TILES_HPP

/// Between columns of a matrix and complex lanes. A tile is up to 2 W columns (W lanes): lane l of
/// element i is Y(i, l) + i Y(i, W + l). Missing columns are zero.

#include <algorithm>

#include "lorma/core/view.hpp"
#include "lorma/fft/lanes.hpp"

namespace lorma::inline LORMA_ABI::detail {

template <typename S>
inline constexpr Index tile_columns = 2 * lane_count<S>;

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
// A packet as template argument loses its alignment attribute; Eigen's blocks do not rely on it.
#pragma GCC diagnostic ignored "-Wignored-attributes"
#endif

/// Transposes a W x W block: packet i of `to` is row i of the block whose columns are at `from`.
template <typename S>
void transpose_in(const S* from, Index ld, S* to, Index step) {
  constexpr int W = lane_count<S>;
  using Packet = typename Eigen::internal::packet_traits<S>::type;
  Eigen::internal::PacketBlock<Packet, W> block;
  for (int l = 0; l < W; ++l) block.packet[l] = Eigen::internal::ploadu<Packet>(from + l * ld);
  Eigen::internal::ptranspose(block);
  for (int i = 0; i < W; ++i) Eigen::internal::pstoreu(to + i * step, block.packet[i]);
}
template <typename S>
void transpose_out(const S* from, Index step, S* to, Index ld) {
  constexpr int W = lane_count<S>;
  using Packet = typename Eigen::internal::packet_traits<S>::type;
  Eigen::internal::PacketBlock<Packet, W> block;
  for (int i = 0; i < W; ++i) block.packet[i] = Eigen::internal::ploadu<Packet>(from + i * step);
  Eigen::internal::ptranspose(block);
  for (int l = 0; l < W; ++l) Eigen::internal::pstoreu(to + l * ld, block.packet[l]);
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

/// One half of a tile (re or im): `count` <= W columns of Y.
template <typename S>
void load_half(const MatrixView<const S>& Y, S* to, Index step) {
  constexpr Index W = lane_count<S>;
  const Index n = Y.rows;
  const Index count = Y.cols;
  Index i = 0;
  if constexpr (W > 1) {
    if (Y.col_major() && count == W) {
      for (; i + W <= n; i += W) transpose_in(Y.data + i, Y.ld, to + i * step, step);
    }
  }
  for (; i < n; ++i) {
    Index l = 0;
    for (; l < count; ++l) to[i * step + l] = Y(i, l);
    for (; l < W; ++l) to[i * step + l] = S(0);
  }
}
template <typename S>
void store_half(const S* from, Index step, const MatrixView<S>& Y) {
  constexpr Index W = lane_count<S>;
  const Index n = Y.rows;
  const Index count = Y.cols;
  Index i = 0;
  if constexpr (W > 1) {
    if (Y.col_major() && count == W) {
      for (; i + W <= n; i += W) transpose_out(from + i * step, step, Y.data + i, Y.ld);
    }
  }
  for (; i < n; ++i) {
    for (Index l = 0; l < count; ++l) Y(i, l) = from[i * step + l];
  }
}

/// Columns [j, j + 2W) of Y as a tile of n complex lanes.
template <typename S>
void load_tile(const MatrixView<const S>& Y, Index j, ComplexLanes<S>* tile) {
  constexpr Index W = lane_count<S>;
  auto* numbers = reinterpret_cast<S*>(tile);
  const Index left = std::min(W, Y.cols - j);
  const Index right = std::clamp<Index>(Y.cols - j - W, 0, W);
  load_half(Y.col_range(j, left), numbers, 2 * W);
  load_half(Y.col_range(right > 0 ? j + W : j, right), numbers + W, 2 * W);
}
template <typename S>
void store_tile(const ComplexLanes<S>* tile, const MatrixView<S>& Y, Index j) {
  constexpr Index W = lane_count<S>;
  const auto* numbers = reinterpret_cast<const S*>(tile);
  const Index left = std::min(W, Y.cols - j);
  const Index right = std::clamp<Index>(Y.cols - j - W, 0, W);
  store_half(numbers, 2 * W, Y.col_range(j, left));
  if (right > 0) store_half(numbers + W, 2 * W, Y.col_range(j + W, right));
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
