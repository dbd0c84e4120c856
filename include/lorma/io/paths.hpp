// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_PATHS_HPP
#define LORMA_IO_PATHS_HPP

/// What lies at a path. Where the system does not say, as for a name that is too long or a folder
/// that may not be entered, each function throws Error with the path and the system's reason,
/// never std::filesystem's own exception.

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <vector>

#include "lorma/io/message.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// Links are followed; `not_found` where nothing is.
inline std::filesystem::file_type type_at(const std::filesystem::path& path) {
  std::error_code error;
  const auto type = std::filesystem::status(path, error).type();
  if (type == std::filesystem::file_type::none) {
    throw_io_error("type_at", "look up", path, error.value());
  }
  return type;
}

inline bool path_exists(const std::filesystem::path& path) {
  return type_at(path) != std::filesystem::file_type::not_found;
}
inline bool path_is_directory(const std::filesystem::path& path) {
  return type_at(path) == std::filesystem::file_type::directory;
}
inline bool path_is_file(const std::filesystem::path& path) {
  return type_at(path) == std::filesystem::file_type::regular;
}

/// Whether anything stands there, if only a link to nothing.
inline bool path_is_taken(const std::filesystem::path& path) {
  std::error_code error;
  const auto type = std::filesystem::symlink_status(path, error).type();
  if (type == std::filesystem::file_type::none) {
    throw_io_error("path_is_taken", "look up", path, error.value());
  }
  return type != std::filesystem::file_type::not_found;
}

/// What a directory has right in it, in the order of the names.
inline std::vector<std::filesystem::path> paths_in(const std::filesystem::path& directory) {
  std::vector<std::filesystem::path> paths;
  std::error_code error;
  for (std::filesystem::directory_iterator at(directory, error), end; !error && at != end;
       at.increment(error)) {
    paths.push_back(at->path());
  }
  if (error) throw_io_error("paths_in", "list", directory, error.value());
  std::sort(paths.begin(), paths.end());
  return paths;
}

/// Makes a directory and those around it, where they are missing.
inline void make_directories(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw_io_error("make_directories", "create", path, error.value());
}

inline std::filesystem::path absolute_path(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::path whole = std::filesystem::absolute(path, error);
  if (error) throw_io_error("absolute_path", "make absolute", path, error.value());
  return whole.lexically_normal();
}

/// The absolute path of a directory, without a slash at its end.
inline std::filesystem::path directory_path(const std::filesystem::path& path) {
  const std::filesystem::path whole = absolute_path(path);
  return whole.has_filename() ? whole : whole.parent_path();
}

/// The absolute path without links in it; its end need not exist.
inline std::filesystem::path resolved_path(const std::filesystem::path& path) {
  std::error_code error;
  std::filesystem::path whole = std::filesystem::weakly_canonical(path, error);
  if (error) throw_io_error("resolved_path", "follow the links of", path, error.value());
  return whole;
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
