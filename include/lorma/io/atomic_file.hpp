// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_ATOMIC_FILE_HPP
#define LORMA_IO_ATOMIC_FILE_HPP

/// A file that appears whole or not at all.
///
///   AtomicFile file("out.bin");
///   file.write(bytes);           // to a temporary file in the same directory
///   file.commit();               // flushed to the disk, then renamed to out.bin
///
/// Until commit() returns, whatever stood at the path stands there unchanged, whether the process
/// is killed, the disk fills up or an exception passes; the destructor of an uncommitted file
/// removes the temporary (only a killed process leaves it, under the name .lorma-*.tmp).
/// A symbolic link at the path is replaced, not followed; the permissions of an old file are kept.
/// Without POSIX the flush to the disk is left to the system.

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "lorma/io/message.hpp"
#include "lorma/io/paths.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#else
#include <cstdio>
#endif

namespace lorma::inline LORMA_ABI {

namespace detail {

/// Name of the attempt-th temporary that this process tries.
inline std::string temporary_name(int attempt) {
#if defined(__unix__) || defined(__APPLE__)
  return ".lorma-" + std::to_string(::getpid()) + '-' + std::to_string(attempt) + ".tmp";
#else
  return ".lorma-" + std::to_string(attempt) + ".tmp";
#endif
}

/// Names in a directory of what processes that are gone left there: temporaries of files and of
/// directories. Without POSIX none is known to be left.
inline std::vector<std::string> leftovers_in(
    [[maybe_unused]] const std::filesystem::path& directory) {
  std::vector<std::string> names;
#if defined(__unix__) || defined(__APPLE__)
  std::error_code error;
  const std::filesystem::path path = directory.empty() ? "." : directory;
  for (std::filesystem::directory_iterator at(path, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().string();
    constexpr std::string_view first = ".lorma-";
    if (!name.starts_with(first) || !name.ends_with(".tmp")) continue;
    const long process = std::strtol(name.c_str() + first.size(), nullptr, 10);
    if (process <= 0 || (::kill(static_cast<pid_t>(process), 0) != 0 && errno == ESRCH)) {
      names.push_back(name);
    }
  }
#endif
  return names;
}

/// New names in a directory reach the disk too. What they name is whole either way, so failure is
/// no error.
inline void sync_directory([[maybe_unused]] const std::filesystem::path& path) {
#if defined(__unix__) || defined(__APPLE__)
  const int directory = ::open(path.empty() ? "." : path.c_str(), O_RDONLY | O_CLOEXEC);
  if (directory < 0) return;
  static_cast<void>(::fsync(directory));
  ::close(directory);
#endif
}

}  // namespace detail

/// Every member throws Error with the path and the system's reason.
class AtomicFile {
 public:
  /// Creates the temporary file. Refuses a path at which something other than a regular file is.
  explicit AtomicFile(const std::filesystem::path& path)
      : path_(path), buffer_(std::make_unique<Buffer>()) {
    std::error_code ignored;  // of a link that leads nowhere, which is replaced
    const std::filesystem::file_status old = std::filesystem::status(path_, ignored);
    if (detail::path_is_taken(path_) && std::filesystem::exists(old) &&
        !std::filesystem::is_regular_file(old)) {
      detail::throw_io_error("AtomicFile", "write", path_,
                             std::filesystem::is_directory(old) ? EISDIR : EINVAL);
    }
    constexpr int attempts = 10000;
    for (int i = 0; i < attempts; ++i) {
      temporary_ = path_.parent_path() / detail::temporary_name(i);
      if (create()) return;
      if (errno != EEXIST) break;
    }
    detail::throw_io_error("AtomicFile", "create a temporary file beside", path_, errno);
  }

  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  ~AtomicFile() {
    if (committed_) return;
    close();
    std::error_code ignored;
    std::filesystem::remove(temporary_, ignored);
  }

  /// Appends; small pieces are gathered.
  void write(std::span<const std::byte> bytes) {
    if (bytes.size() > buffer_->size() - used_) flush();
    if (bytes.size() > buffer_->size()) return write_through(bytes);
    if (!bytes.empty()) std::memcpy(buffer_->data() + used_, bytes.data(), bytes.size());
    used_ += bytes.size();
  }

  /// Puts the file at its path. Nothing may be written after.
  void commit() {
    flush();
    const auto permissions = old_permissions();
    if (!sync()) detail::throw_io_error("AtomicFile", "flush the new content of", path_, errno);
    if (!close()) detail::throw_io_error("AtomicFile", "close the new content of", path_, errno);
    std::error_code error;
    if (permissions != std::filesystem::perms::unknown) {
      std::filesystem::permissions(temporary_, permissions, error);  // as near as we may
    }
    std::filesystem::rename(temporary_, path_, error);
    if (error) detail::throw_io_error("AtomicFile", "replace", path_, error.value());
    committed_ = true;
    detail::sync_directory(path_.parent_path());
  }

 private:
  using Buffer = std::array<std::byte, std::size_t{1} << 18>;

  void flush() {
    write_through({buffer_->data(), used_});
    used_ = 0;
  }

  std::filesystem::perms old_permissions() const {
    std::error_code ignored;
    const std::filesystem::file_status old = std::filesystem::symlink_status(path_, ignored);
    return std::filesystem::is_regular_file(old) ? old.permissions() & std::filesystem::perms::all
                                                 : std::filesystem::perms::unknown;
  }

#if defined(__unix__) || defined(__APPLE__)
  bool create() {
    descriptor_ = ::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    return descriptor_ >= 0;
  }

  void write_through(std::span<const std::byte> bytes) {
    constexpr std::size_t most = std::size_t{1} << 30;  // some systems refuse more at a time
    while (!bytes.empty()) {
      const ssize_t written =
          ::write(descriptor_, bytes.data(), bytes.size() < most ? bytes.size() : most);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) detail::throw_io_error("AtomicFile", "write", path_, errno);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
      begin_writeback(static_cast<std::size_t>(written));
    }
  }

  /// Lets the disk begin while the rest is made, so that commit() does not wait for all of it.
  void begin_writeback([[maybe_unused]] std::size_t written) {
#ifdef SYNC_FILE_RANGE_WRITE
    constexpr std::size_t piece = std::size_t(32) << 20;
    unflushed_ += written;
    if (unflushed_ < piece) return;
    static_cast<void>(::sync_file_range(descriptor_, static_cast<off_t>(flushed_),
                                        static_cast<off_t>(unflushed_), SYNC_FILE_RANGE_WRITE));
    flushed_ += unflushed_;
    unflushed_ = 0;
#endif
  }

  bool sync() {
    int result = 0;
    do {
      result = ::fsync(descriptor_);
    } while (result != 0 && errno == EINTR);
    return result == 0 || errno == EINVAL;  // EINVAL: a file system that cannot, and need not
  }

  bool close() {
    if (descriptor_ < 0) return true;
    const int result = ::close(descriptor_);
    descriptor_ = -1;
    return result == 0 || errno == EINTR;
  }

  int descriptor_ = -1;
  std::size_t flushed_ = 0;
  std::size_t unflushed_ = 0;
#else
  bool create() {
    errno = 0;
    stream_ = std::fopen(temporary_.string().c_str(), "wbx");
    return stream_ != nullptr;
  }

  void write_through(std::span<const std::byte> bytes) {
    if (std::fwrite(bytes.data(), 1, bytes.size(), stream_) == bytes.size()) return;
    detail::throw_io_error("AtomicFile", "write", path_, errno);
  }

  bool sync() {
    return std::fflush(stream_) == 0;
  }

  bool close() {
    std::FILE* const stream = stream_;
    stream_ = nullptr;
    return stream == nullptr || std::fclose(stream) == 0;
  }

  std::FILE* stream_ = nullptr;
#endif

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  std::unique_ptr<Buffer> buffer_;
  std::size_t used_ = 0;
  bool committed_ = false;
};

}  // namespace lorma::inline LORMA_ABI

#endif
