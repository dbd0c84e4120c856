// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_FILE_KIND_HPP
#define LORMA_IO_FILE_KIND_HPP

/// What a file is that was taken for safetensors and is none, so that the message says what to do.

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "lorma/core/config.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// In words that follow "this is"; empty where the first bytes say nothing, or are the length of a
/// safetensors header, of which the upper half is zero.
inline std::string kind_of_file(std::span<const std::byte> bytes) {
  if (bytes.empty()) return "an empty file";
  constexpr auto is_zero = [](std::byte b) { return b == std::byte{0}; };
  if (bytes.size() >= 8 && std::all_of(bytes.begin() + 4, bytes.begin() + 8, is_zero)) return "";
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min<std::size_t>(bytes.size(), 512));
  struct Kind {
    std::string_view begin;
    std::string_view words;
  };
  using namespace std::string_view_literals;
  constexpr std::array kinds = {
      Kind{"version https://git-lfs"sv,
           "a pointer of Git LFS: the file itself was not fetched (git lfs pull)"sv},
      Kind{"GGUF"sv, "a GGUF file, of llama.cpp: expected the model's safetensors files"sv},
      Kind{
          "PK\3\4"sv,
          "a zip archive, such as PyTorch's .bin and .pt: expected safetensors (save_pretrained of "
          "transformers and peft writes them)"sv},
      Kind{"\x80\2"sv,
           "a Python pickle, such as PyTorch's old .bin and .pt: expected safetensors"sv},
      Kind{"\x80\3"sv, "a Python pickle: expected safetensors"sv},
      Kind{"\x80\4"sv, "a Python pickle: expected safetensors"sv},
      Kind{"\x80\5"sv, "a Python pickle: expected safetensors"sv},
      Kind{"\x89HDF\r\n"sv, "an HDF5 file, such as Keras': expected safetensors"sv},
      Kind{"\x93NUMPY"sv, "a NumPy array: expected safetensors"sv},
      Kind{"\x1f\x8b"sv, "a gzip archive: expected the file in it"sv},
      Kind{"{"sv, "JSON: expected the tensors beside it"sv}};
  for (const Kind& kind : kinds) {
    if (text.starts_with(kind.begin)) return std::string(kind.words);
  }
  std::string_view mark = text;
  if (mark.starts_with("\xEF\xBB\xBF")) mark.remove_prefix(3);
  mark.remove_prefix(std::min(mark.find_first_not_of(" \t\r\n"), mark.size()));
  const auto begins = [mark](std::string_view wanted) {
    return mark.size() >= wanted.size() &&
           std::equal(wanted.begin(), wanted.end(), mark.begin(), [](char w, char m) {
             return w == ('A' <= m && m <= 'Z' ? static_cast<char>(m + 32) : m);
           });
  };
  if (begins("<!doctype") || begins("<html") || begins("<?xml")) {
    return "an HTML page: the download was answered by a page, such as one that asks to log in";
  }
  return "";
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
