// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_FUZZ_FUZZ_HPP
#define LORMA_TESTS_FUZZ_FUZZ_HPP

/// What the fuzzers of files on disk share: a directory that goes away at the end.

#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace lorma_tests {

/// In memory where there is such a place.
class FuzzDirectory {
 public:
  FuzzDirectory() {
    namespace fs = std::filesystem;
    const fs::path memory = "/dev/shm";
    path_ = (fs::is_directory(memory) ? memory : fs::temp_directory_path()) /
            ("lorma-fuzz-" + std::to_string(::getpid()));
    fs::create_directory(path_);
  }
  ~FuzzDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  FuzzDirectory(const FuzzDirectory&) = delete;
  FuzzDirectory& operator=(const FuzzDirectory&) = delete;

  std::filesystem::path operator/(const char* name) const { return path_ / name; }

  void put(const char* name, const std::uint8_t* data, std::size_t size) const {
    std::ofstream(path_ / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  }

 private:
  std::filesystem::path path_;
};

}  // namespace lorma_tests

#endif
