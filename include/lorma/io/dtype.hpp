// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_DTYPE_HPP
#define LORMA_IO_DTYPE_HPP

/// Element types of tensors on disk, by the names and sizes of the safetensors format.
///
///   dtype_of<float>              // Dtype::F32
///   dtype_bits(Dtype::F6_E2M3)   // 6
///   parse_dtype("BF16")          // Dtype::BF16; nothing for a name the format does not have
///
/// A type is listed even where lorma has no arithmetic for it, so that its tensors can be copied.

#include <array>
#include <bit>
#include <complex>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "lorma/core/types.hpp"

namespace lorma::inline LORMA_ABI {

static_assert(std::endian::native == std::endian::little,
              "lorma/io: the data of safetensors files is little-endian and is used in place; "
              "big-endian machines are not supported");

/// In the order of the reference implementation, whose writer puts later ones first.
enum class Dtype : unsigned char {
  Bool,
  F4,
  F6_E2M3,
  F6_E3M2,
  U8,
  I8,
  F8_E5M2,
  F8_E4M3,
  F8_E8M0,
  F8_E4M3FNUZ,
  F8_E5M2FNUZ,
  I16,
  U16,
  F16,
  BF16,
  I32,
  U32,
  F32,
  C64,
  F64,
  I64,
  U64
};

/// Extents of a tensor, outermost first; any number of them, none for a scalar.
using TensorShape = std::span<const std::uint64_t>;

namespace detail {

struct DtypeRow {
  std::string_view name;
  unsigned bits;
};

/// Indexed by Dtype.
inline constexpr std::array<DtypeRow, 22> dtype_rows = {
    {{"BOOL", 8},        {"F4", 4},      {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},
     {"I8", 8},          {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8}, {"F8_E4M3FNUZ", 8},
     {"F8_E5M2FNUZ", 8}, {"I16", 16},    {"U16", 16},    {"F16", 16},    {"BF16", 16},
     {"I32", 32},        {"U32", 32},    {"F32", 32},    {"C64", 64},    {"F64", 64},
     {"I64", 64},        {"U64", 64}}};

template <typename T>
constexpr std::optional<Dtype> find_dtype_of() {
  if constexpr (std::same_as<T, double>) return Dtype::F64;
  if constexpr (std::same_as<T, float>) return Dtype::F32;
  if constexpr (std::same_as<T, Eigen::half>) return Dtype::F16;
  if constexpr (std::same_as<T, Eigen::bfloat16>) return Dtype::BF16;
  if constexpr (std::same_as<T, std::complex<float>>) return Dtype::C64;
  // bool is left out: a byte of the file that is neither 0 nor 1 is no value of it.
  if constexpr (std::integral<T> && !std::same_as<T, bool>) {
    constexpr bool is_signed = std::is_signed_v<T>;
    if constexpr (sizeof(T) == 8) return is_signed ? Dtype::I64 : Dtype::U64;
    if constexpr (sizeof(T) == 4) return is_signed ? Dtype::I32 : Dtype::U32;
    if constexpr (sizeof(T) == 2) return is_signed ? Dtype::I16 : Dtype::U16;
    if constexpr (sizeof(T) == 1) return is_signed ? Dtype::I8 : Dtype::U8;
  }
  return std::nullopt;
}

/// a * b, or nothing where it exceeds 64 bits.
constexpr std::optional<std::uint64_t> checked_product(std::uint64_t a, std::uint64_t b) {
  if (b != 0 && a > std::numeric_limits<std::uint64_t>::max() / b) return std::nullopt;
  return a * b;
}

/// "[2, 3]"; the extents after the eighth are left out.
inline std::string shape_text(TensorShape shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i == 8) return text + ", ...]";
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + ']';
}

}  // namespace detail

/// C++ types that have a Dtype: double, float, half, bfloat16, complex<float>, integers.
template <typename T>
concept DtypeScalar = detail::find_dtype_of<T>()
.has_value();

template <DtypeScalar T>
inline constexpr Dtype dtype_of = *detail::find_dtype_of<T>();

/// The format's name of a type, such as "F32".
constexpr std::string_view dtype_name(Dtype dtype) {
  return detail::dtype_rows[static_cast<std::size_t>(dtype)].name;
}

/// Bits of one element: 4, 6, 8, 16, 32 or 64.
constexpr unsigned dtype_bits(Dtype dtype) {
  return detail::dtype_rows[static_cast<std::size_t>(dtype)].bits;
}

/// The type of that name, or nothing.
constexpr std::optional<Dtype> parse_dtype(std::string_view name) {
  for (std::size_t i = 0; i < detail::dtype_rows.size(); ++i) {
    if (detail::dtype_rows[i].name == name) return static_cast<Dtype>(i);
  }
  return std::nullopt;
}

/// Bits of a dense tensor, or nothing where the product, taken from the left, exceeds 64 bits.
constexpr std::optional<std::uint64_t> tensor_bits(Dtype dtype, TensorShape shape) {
  std::optional<std::uint64_t> count = 1;
  for (const std::uint64_t extent : shape) {
    count = detail::checked_product(*count, extent);
    if (!count) return count;
  }
  return detail::checked_product(*count, dtype_bits(dtype));
}

}  // namespace lorma::inline LORMA_ABI

#endif
