// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_SAFETENSORS_HEADER_HPP
#define LORMA_IO_SAFETENSORS_HEADER_HPP

/// Reads and checks the header of a safetensors file: an 8-byte little-endian length N, N bytes of
/// JSON {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}, then the data.
///
///   SafetensorsHeader header = parse_safetensors_header(file_bytes, "model.safetensors");
///
/// Where the text of the format speaks, it is followed to the letter (no byte before '{', no name
/// twice at any level, metadata a map of strings); where it is silent, its reference implementation
/// is (other fields of a tensor are skipped, at most 127 levels of JSON). Memory: a small multiple
/// of N; the data is not touched. Source: github.com/huggingface/safetensors, README, "Format".

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/io/dtype.hpp"
#include "lorma/io/file_kind.hpp"
#include "lorma/io/safetensors_events.hpp"

namespace lorma::inline LORMA_ABI {

/// A tensor as it lies in the file: row-major, little-endian, at any address.
struct StoredTensor {
  std::string name;
  Dtype dtype = Dtype::U8;
  std::vector<std::uint64_t> shape;
  std::span<const std::byte> bytes;
};

struct SafetensorsHeader {
  std::vector<StoredTensor> tensors;            ///< in the order of their data
  std::map<std::string, std::string> metadata;  ///< `__metadata__`
};

namespace detail {

/// Checks that the entries, in the order of their offsets, tile `data`, and attaches the bytes.
inline std::vector<StoredTensor> lay_out_tensors(std::vector<SafetensorsEvents::Entry>&& entries,
                                                 std::span<const std::byte> data,
                                                 std::string_view file) {
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return a.offsets < b.offsets; });
  std::vector<StoredTensor> tensors;
  tensors.reserve(entries.size());
  std::uint64_t position = 0;
  for (SafetensorsEvents::Entry& entry : entries) {
    const auto fail = [&](const std::string& rule) { safetensors_error(file, &entry.name, rule); };
    const std::uint64_t begin = entry.offsets[0];
    const std::uint64_t end = entry.offsets[1];
    if (begin > end || end > data.size() || begin != position) {
      const std::string wanted =
          begin > end         ? "with begin <= end"
          : end > data.size() ? "within the " + std::to_string(data.size()) + " bytes of data"
                              : std::string("without ") + (begin > position ? "holes" : "overlap") +
                                    ", to begin at " + std::to_string(position);
      fail("expected 'data_offsets' " + wanted + ", got [" + std::to_string(begin) + ", " +
           std::to_string(end) + "]" + (end > data.size() ? " (a file cut short?)" : ""));
    }
    position = end;
    const std::optional<std::uint64_t> bits = tensor_bits(entry.dtype, entry.shape);
    const auto what = [&] {
      return std::string(dtype_name(entry.dtype)) + " of shape " + shape_text(entry.shape);
    };
    if (!bits) fail("expected a size below 2^64 bits, got " + what());
    if (*bits % 8 != 0) fail("expected whole bytes, got " + what());
    if (*bits / 8 != end - begin) {
      fail("expected " + std::to_string(*bits / 8) + " bytes for " + what() + ", got " +
           std::to_string(end - begin));
    }
    tensors.push_back(
        {std::move(entry.name), entry.dtype, std::move(entry.shape),
         data.subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin))});
  }
  if (position != data.size()) {
    safetensors_error(file, nullptr,
                      "expected tensors that cover the " + std::to_string(data.size()) +
                          " bytes of data, got " + std::to_string(position) + " bytes covered");
  }
  return tensors;
}

}  // namespace detail

/// The header of the file whose content is `file`, called `name` in messages. The tensors point
/// into `file`. Throws FormatError that names the file, the tensor and the rule broken.
LORMA_IO_FUNCTION SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                                             std::string_view name);

#ifdef LORMA_IO_BODIES
LORMA_IO_FUNCTION SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                                             std::string_view name) {
  using detail::safetensors_length_bytes;
  const auto check = [&](bool good, const std::string& rule) {
    if (good) return;
    const std::string kind = detail::kind_of_file(file);
    detail::safetensors_error(name, nullptr, kind.empty() ? rule : rule + "; this is " + kind);
  };
  check(file.size() >= safetensors_length_bytes,
        "expected at least 8 bytes, got " + std::to_string(file.size()));
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  check(length <= detail::safetensors_max_header,
        "expected a header of at most 100000000 bytes, got a length of " + std::to_string(length));
  const std::span<const std::byte> rest = file.subspan(safetensors_length_bytes);
  check(length <= rest.size(), "expected a header within the " + std::to_string(file.size()) +
                                   " bytes of the file, got a length of " + std::to_string(length) +
                                   " (a file cut short?)");
  const std::string_view json(reinterpret_cast<const char*>(rest.data()),
                              static_cast<std::size_t>(length));
  check(json.starts_with('{'), "expected a header that begins with '{'");
  // The parser takes NUL for the end of its input.
  check(json.find('\0') == std::string_view::npos,
        "expected a header of JSON padded with white space, got a NUL byte in it");

  detail::SafetensorsEvents events(name);
  nlohmann::json::sax_parse(json.begin(), json.end(), &events);
  return {detail::lay_out_tensors(std::move(events.entries), rest.subspan(json.size()), name),
          std::move(events.metadata)};
}
#endif

}  // namespace lorma::inline LORMA_ABI

#endif
