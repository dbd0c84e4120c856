// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_FINGERPRINT_HPP
#define LORMA_IO_FINGERPRINT_HPP

/// A short name for the exact bytes of a tensor, by which an adapter recognizes the weight that it
/// was made for. Tells mistakes from matches; no defence against someone who forges one.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "lorma/io/safetensors_header.hpp"

namespace lorma::inline LORMA_ABI {

namespace detail {

/// Four interleaved FNV-1a sums over little-endian 64-bit words (the last one filled with zeros),
/// then FNV-1a over the four and the number of bytes. docs/adapter-format.md has the definition.
inline std::uint64_t hash_bytes(std::span<const std::byte> bytes) {
  constexpr std::uint64_t basis = 0xcbf29ce484222325;
  constexpr std::uint64_t prime = 0x100000001b3;
  std::array<std::uint64_t, 4> lanes{basis, basis + 1, basis + 2, basis + 3};
  const auto word = [&bytes](std::size_t at) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + at, std::min<std::size_t>(8, bytes.size() - at));
    return value;
  };
  std::size_t at = 0;
  for (; at + 32 <= bytes.size(); at += 32) {
    for (std::size_t lane = 0; lane < 4; ++lane) {
      lanes[lane] = (lanes[lane] ^ word(at + 8 * lane)) * prime;
      lanes[lane] ^= lanes[lane] >> 29;  // carries high bits, which * alone never moves down
    }
  }
  for (std::size_t lane = 0; at < bytes.size(); at += 8, ++lane) {
    lanes[lane] = (lanes[lane] ^ word(at)) * prime;
    lanes[lane] ^= lanes[lane] >> 29;
  }
  std::uint64_t sum = basis;
  for (const std::uint64_t lane : lanes) sum = (sum ^ lane) * prime;
  sum = (sum ^ bytes.size()) * prime;
  return sum ^ (sum >> 32);
}

}  // namespace detail

/// Sixteen hexadecimal digits of a 64-bit hash. Cost: one reading.
inline std::string hash_text(std::span<const std::byte> bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::uint64_t hash = detail::hash_bytes(bytes);
  std::string hex(16, '0');
  for (std::size_t i = 16; i-- > 0; hash >>= 4) hex[i] = digits[hash & 15];
  return hex;
}

/// "F32 [768, 768] 0123456789abcdef": type, shape and a 64-bit hash of the bytes. Cost: one
/// reading.
inline std::string fingerprint(const StoredTensor& tensor) {
  return std::string(dtype_name(tensor.dtype)) + ' ' + detail::shape_text(tensor.shape) + ' ' +
         hash_text(tensor.bytes);
}

}  // namespace lorma::inline LORMA_ABI

#endif
