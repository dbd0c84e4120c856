// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_MESSAGE_HPP
#define LORMA_IO_MESSAGE_HPP

/// Text of messages about files: names that come from outside are shown escaped and bounded, so
/// that a hostile file can neither drive a terminal nor fill a log; system errors in words.

#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "lorma/core/error.hpp"

/// With LORMA_COMPILED_IO, functions that read and write files are linked from src/io/io.cpp, and
/// nobody else compiles JSON and regular expressions.
#ifndef LORMA_COMPILED_IO
#define LORMA_IO_FUNCTION inline
#else
#define LORMA_IO_FUNCTION
#endif
#if !defined(LORMA_COMPILED_IO) || defined(LORMA_COMPILING_IO)
#define LORMA_IO_BODIES
#endif

namespace lorma::inline LORMA_ABI::detail {

/// Bytes of the first character of `text` if it may be shown as it is, else 0: valid UTF-8 that is
/// no control, quote, backslash, invisible or direction-changing character.
inline std::size_t shown_bytes(std::string_view text) {
  const auto byte = [&](std::size_t i) -> unsigned { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return lead >= 0x20 && lead != 0x7F && lead != '\\' && lead != '\'' ? 1 : 0;
  const std::size_t size = lead < 0xC2   ? 0
                           : lead < 0xE0 ? 2
                           : lead < 0xF0 ? 3
                           : lead < 0xF5 ? 4
                                         : 0;
  if (size == 0 || text.size() < size) return 0;
  unsigned code = lead & (0x7Fu >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0u) != 0x80u) return 0;
    code = (code << 6) | (byte(i) & 0x3Fu);
  }
  const auto within = [code](unsigned first, unsigned last) {
    return first <= code && code <= last;
  };
  if ((size == 3 && code < 0x800) || (size == 4 && code < 0x10000)) return 0;  // overlong
  if (code < 0xA0 || code == 0xAD || code == 0x61C || within(0x200B, 0x200F) ||
      within(0x2028, 0x202E) || within(0x2060, 0x206F) || within(0xD800, 0xDFFF) ||
      within(0xFE00, 0xFE0F) || code == 0xFEFF || within(0xFFF0, 0xFFFF) || code >= 0xE0000) {
    return 0;
  }
  return size;
}

/// `text` with whatever must not be shown written as \xNN, at most about `limit` bytes of it.
inline std::string escaped(std::string_view text, std::size_t limit = 160) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out;
  while (!text.empty()) {
    if (out.size() >= limit) return out + "...";
    const std::size_t size = shown_bytes(text);
    if (size > 0) {
      out += text.substr(0, size);
      text.remove_prefix(size);
      continue;
    }
    const unsigned byte = static_cast<unsigned char>(text.front());
    if (byte == '\\' || byte == '\'') {
      out += '\\';
      out += text.front();
    } else {
      out += "\\x";
      out += digits[byte >> 4];
      out += digits[byte & 15u];
    }
    text.remove_prefix(1);
  }
  return out;
}

/// The same between single quotes.
inline std::string in_quotes(std::string_view text, std::size_t limit = 160) {
  return '\'' + escaped(text, limit) + '\'';
}

/// One line for all problems found, the first twenty in words.
inline std::string listed(const std::vector<std::string>& problems) {
  std::string text;
  for (std::size_t i = 0; i < problems.size() && i < 20; ++i) {
    text += (i == 0 ? "" : "; ") + problems[i];
  }
  if (problems.size() > 20) text += "; and " + std::to_string(problems.size() - 20) + " more";
  return text;
}

/// Throws Error "lorma::<function>: cannot <action> '<path>': <the system's words>".
[[noreturn]] inline void throw_io_error(std::string_view function, std::string_view action,
                                        const std::filesystem::path& path, int error_number) {
  throw Error("lorma::" + std::string(function) + ": cannot " + std::string(action) + ' ' +
              in_quotes(path.string(), 1024) + ": " +
              std::generic_category().message(error_number));
}

}  // namespace lorma::inline LORMA_ABI::detail

namespace lorma::inline LORMA_ABI {
using detail::escaped;
using detail::in_quotes;
}  // namespace lorma::inline LORMA_ABI

#endif
