// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_MEMORY_MAP_HPP
#define LORMA_IO_MEMORY_MAP_HPP

/// The bytes of a file, read-only, paged in by the system as they are touched.
///
///   MemoryMap map("model.safetensors");
///   std::span<const std::byte> bytes = map.bytes();   // valid as long as `map`, moved or not
///
/// Where POSIX mmap is absent the whole file is read into memory instead. A file replaced by
/// renaming (as AtomicFile does) leaves the map as it was; one that another process shortens
/// meanwhile ends the program by a bus error, as with any map.

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <utility>

#include "lorma/io/message.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#else
#include <fstream>
#include <vector>

#include "lorma/io/paths.hpp"
#endif

namespace lorma::inline LORMA_ABI {

/// Move-only owner of a map of a regular file.
class MemoryMap {
 public:
  MemoryMap() = default;

  /// Throws Error, with the system's reason, if `path` is no regular file or cannot be read.
  explicit MemoryMap(const std::filesystem::path& path) { open(path); }

  MemoryMap(MemoryMap&& other) noexcept { swap(other); }
  MemoryMap& operator=(MemoryMap&& other) noexcept {
    MemoryMap(std::move(other)).swap(*this);
    return *this;
  }
  MemoryMap(const MemoryMap&) = delete;
  MemoryMap& operator=(const MemoryMap&) = delete;

#if defined(__unix__) || defined(__APPLE__)
  ~MemoryMap() {
    if (data_ != nullptr) ::munmap(data_, size_);
  }

  std::span<const std::byte> bytes() const {
    return {static_cast<const std::byte*>(data_), size_};
  }

  /// Brings the pages of `part` in, all at once: cheaper than one by one as they are touched.
  void prefetch(std::span<const std::byte> part) const {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t before = std::bit_cast<std::uintptr_t>(part.data()) % page;
#ifdef MADV_POPULATE_READ
    constexpr int advice = MADV_POPULATE_READ;
#else
    constexpr int advice = MADV_WILLNEED;
#endif
    // Where the system does not know the advice, pages come as they are touched.
    static_cast<void>(
        ::madvise(const_cast<std::byte*>(part.data()) - before, before + part.size(), advice));
  }

  /// Gives the memory of whole pages of `part` back; they are read again when touched.
  void forget(std::span<const std::byte> part) const {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const auto offset = std::bit_cast<std::uintptr_t>(part.data()) % page;
    const std::size_t skip = offset == 0 ? 0 : page - offset;
    if (part.size() < skip + page) return;
    const std::size_t bytes = (part.size() - skip) / page * page;
    static_cast<void>(::madvise(const_cast<std::byte*>(part.data()) + skip, bytes, MADV_DONTNEED));
  }

 private:
  void swap(MemoryMap& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

  void open(const std::filesystem::path& path) {
    // O_NONBLOCK: a pipe without a writer is refused below instead of waited for.
    const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (descriptor < 0) detail::throw_io_error("MemoryMap", "open", path, errno);
    struct stat status = {};
    void* data = nullptr;
    int failure = 0;
    if (::fstat(descriptor, &status) != 0) {
      failure = errno;
    } else if (!S_ISREG(status.st_mode)) {
      failure = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
    } else if (static_cast<std::uintmax_t>(status.st_size) >
               std::numeric_limits<std::size_t>::max()) {
      failure = EFBIG;
    } else if (status.st_size > 0) {
      data = ::mmap(nullptr, static_cast<std::size_t>(status.st_size), PROT_READ, MAP_PRIVATE,
                    descriptor, 0);
      if (data == MAP_FAILED) failure = errno;
    }
    ::close(descriptor);  // a map outlives its descriptor
    if (failure != 0) detail::throw_io_error("MemoryMap", "map", path, failure);
    data_ = data;
    size_ = static_cast<std::size_t>(status.st_size);
  }

  void* data_ = nullptr;
  std::size_t size_ = 0;
#else
  ~MemoryMap() = default;

  std::span<const std::byte> bytes() const {
    return content_;
  }
  void prefetch(std::span<const std::byte>) const {}
  void forget(std::span<const std::byte>) const {}

 private:
  void swap(MemoryMap& other) noexcept {
    content_.swap(other.content_);
  }

  void open(const std::filesystem::path& path) {
    if (detail::path_exists(path) && !detail::path_is_file(path)) {
      detail::throw_io_error("MemoryMap", "read", path, EINVAL);
    }
    errno = 0;
    std::ifstream stream(path, std::ios::binary | std::ios::ate);
    if (!stream) detail::throw_io_error("MemoryMap", "open", path, errno);
    const std::streamoff size = stream.tellg();
    if (size < 0) detail::throw_io_error("MemoryMap", "read", path, errno);
    content_.resize(static_cast<std::size_t>(size));
    stream.seekg(0);
    stream.read(reinterpret_cast<char*>(content_.data()), static_cast<std::streamsize>(size));
    if (!stream) detail::throw_io_error("MemoryMap", "read", path, errno);
  }

  std::vector<std::byte> content_;
#endif
};

}  // namespace lorma::inline LORMA_ABI

#endif
