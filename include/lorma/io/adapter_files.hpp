// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_ADAPTER_FILES_HPP
#define LORMA_IO_ADAPTER_FILES_HPP

/// The two files that an adapter is on disk, of either kind: peft_lora.hpp, lorma_directory.hpp.

#include <string_view>
#include <vector>

#include "lorma/io/atomic_directory.hpp"
#include "lorma/io/json_file.hpp"
#include "lorma/io/safetensors_writer.hpp"

namespace lorma::inline LORMA_ABI {

inline constexpr std::string_view adapter_config_name = "adapter_config.json";
inline constexpr std::string_view adapter_model_name = "adapter_model.safetensors";

namespace detail {

/// Writes both. A new directory appears whole or not at all; in one that exists each file is
/// replaced whole, the tensors first.
inline void write_adapter_files(const std::filesystem::path& directory,
                                const std::vector<TensorSource>& tensors,
                                const std::map<std::string, std::string>& metadata,
                                const nlohmann::ordered_json& config) {
  const auto write = [&](const std::filesystem::path& to) {
    write_safetensors(to / adapter_model_name, tensors, metadata);
    write_json(to / adapter_config_name, config);
  };
  if (std::filesystem::is_directory(directory)) return write(directory);
  std::filesystem::create_directories(directory_path(directory).parent_path());
  AtomicDirectory fresh(directory);
  write(fresh.path());
  fresh.commit();
}

}  // namespace detail

}  // namespace lorma::inline LORMA_ABI

#endif
