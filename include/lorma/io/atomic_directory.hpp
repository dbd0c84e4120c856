// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_ATOMIC_DIRECTORY_HPP
#define LORMA_IO_ATOMIC_DIRECTORY_HPP

/// A directory that appears whole or not at all.
///
///   AtomicDirectory directory("adapter");
///   write_safetensors(directory.path() / "adapter_model.safetensors", tensors);
///   directory.commit();          // renamed to "adapter"
///
/// Files are written to a temporary directory beside it; the destructor of an uncommitted one
/// removes it with all that it holds (only a killed process leaves it, under the name
/// .lorma-*.tmp). What is to survive a loss of power must be on the disk before commit(), as the
/// files of AtomicFile are.

#include <algorithm>
#include <filesystem>
#include <string>
#include <system_error>

#include "lorma/io/atomic_file.hpp"
#include "lorma/io/memory_map.hpp"
#include "lorma/io/message.hpp"
#include "lorma/io/paths.hpp"

namespace lorma::inline LORMA_ABI {

/// Every member throws Error with the path and the system's reason.
class AtomicDirectory {
 public:
  /// Creates the temporary directory. Refuses a path at which something is.
  explicit AtomicDirectory(const std::filesystem::path& path)
      : final_(detail::directory_path(path)) {
    if (detail::path_is_taken(final_)) {
      detail::throw_io_error("AtomicDirectory", "create", final_, EEXIST);
    }
    std::error_code error;
    constexpr int attempts = 10000;
    for (int i = 0; i < attempts; ++i) {
      temporary_ = final_.parent_path() / detail::temporary_name(i);
      if (std::filesystem::create_directory(temporary_, error)) return;
      if (error) break;
    }
    detail::throw_io_error("AtomicDirectory", "create a temporary directory beside", final_,
                           error ? error.value() : EEXIST);
  }

  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;

  ~AtomicDirectory() {
    if (committed_) return;
    std::error_code ignored;
    std::filesystem::remove_all(temporary_, ignored);
  }

  /// Where its files are to be written until commit().
  const std::filesystem::path& path() const { return temporary_; }

  /// Copies a file into it. `name` may lie in folders within, which are made; empty: its own name.
  void copy(const std::filesystem::path& file, const std::filesystem::path& name = {}) const {
    const std::filesystem::path target = temporary_ / (name.empty() ? file.filename() : name);
    std::error_code error;
    std::filesystem::create_directories(target.parent_path(), error);
    if (error) detail::throw_io_error("AtomicDirectory", "create", final_ / name, error.value());
    const MemoryMap from(file);
    AtomicFile to(target);
    constexpr std::size_t piece = std::size_t(4) << 20;
    for (std::size_t at = 0; at < from.bytes().size(); at += piece) {
      const auto part = from.bytes().subspan(at, std::min(piece, from.bytes().size() - at));
      to.write(part);
      from.forget(part);
    }
    to.commit();  // and the names in its folder with it
  }

  /// Puts it at its path.
  void commit() {
    std::error_code error;
    detail::sync_directory(temporary_);
    std::filesystem::rename(temporary_, final_, error);
    if (error) detail::throw_io_error("AtomicDirectory", "create", final_, error.value());
    committed_ = true;
    detail::sync_directory(final_.parent_path());
  }

 private:
  std::filesystem::path final_;
  std::filesystem::path temporary_;
  bool committed_ = false;
};

}  // namespace lorma::inline LORMA_ABI

#endif
