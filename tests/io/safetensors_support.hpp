// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_IO_SAFETENSORS_SUPPORT_HPP
#define LORMA_TESTS_IO_SAFETENSORS_SUPPORT_HPP

/// What the tests of lorma/io share: files built in memory, a directory that goes away.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "lorma/io/safetensors.hpp"

namespace lorma_tests {

/// A file of that header (its length put before it) and that many bytes of data, 0, 1, 2, ...
inline std::string file_of(const std::string& header, std::size_t data_bytes) {
  const std::uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  file += header;
  for (std::size_t i = 0; i < data_bytes; ++i) file += static_cast<char>(i);
  return file;
}

inline lorma::SafetensorsFile open_bytes(std::string_view file) {
  return lorma::SafetensorsFile::from_bytes(std::as_bytes(std::span(file)), "memory");
}

/// "accepted", or the message of the FormatError.
inline std::string verdict(std::string_view file) {
  try {
    open_bytes(file);
    return "accepted";
  } catch (const lorma::FormatError& error) {
    return error.what();
  }
}

inline std::string content(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

inline void put(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

/// A new directory, removed with all that it holds at the end of the scope.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    std::random_device seed;
    do {
      path_ = std::filesystem::temp_directory_path() / ("lorma-test-" + std::to_string(seed()));
    } while (!std::filesystem::create_directory(path_));
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(path_), {}));
  }

 private:
  std::filesystem::path path_;
};

}  // namespace lorma_tests

#endif
