// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_ADAPTER_FILES_HPP
#define LORMA_MODEL_ADAPTER_FILES_HPP

/// The two files that an adapter on disk consists of, whatever its kind: LoRMA
/// (lorma_directory.hpp), LoRA (peft_lora.hpp), PEFT's other methods (peft_methods.hpp).

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lorma/io/atomic_directory.hpp"
#include "lorma/io/json_file.hpp"
#include "lorma/io/paths.hpp"
#include "lorma/io/safetensors_writer.hpp"

namespace lorma::inline LORMA_ABI {

inline constexpr std::string_view adapter_config_name = "adapter_config.json";
inline constexpr std::string_view adapter_model_name = "adapter_model.safetensors";

namespace detail {

/// Throws Error, which names what is there instead, unless a directory has the two files.
inline void require_adapter_files(const std::filesystem::path& directory) {
  for (const std::string_view wanted : {adapter_config_name, adapter_model_name}) {
    if (path_exists(directory / wanted)) continue;
    std::vector<std::filesystem::path> paths;
    if (path_is_directory(directory)) paths = paths_in(directory);
    std::vector<std::string> found;
    for (const std::filesystem::path& path : paths) {
      const std::string name = path.filename().string();
      if (name.ends_with(".safetensors")) {
        found.push_back(in_quotes(name) + " (LoRA's tensors may be given as a file)");
      } else if (name.ends_with(".bin") || name.ends_with(".pt")) {
        found.push_back(in_quotes(name) +
                        " (of PyTorch; peft's save_pretrained writes safetensors)");
      }
    }
    throw Error(in_quotes(directory.string(), 1024) + ": expected " + std::string(wanted) +
                " in it, got " + (found.empty() ? "no such file" : listed(found)));
  }
}

/// Throws NonFinite, with the name of the layer, unless both factors are finite.
inline void check_factors_finite(std::string_view function, const std::string& layer,
                                 const Matrix<float>& B, const Matrix<float>& A) {
  if (B.allFinite() && A.allFinite()) return;
  throw NonFinite("lorma::" + std::string(function) + ": " + in_quotes(layer) +
                  ": expected finite factors, got NaN or infinity");
}

/// Writes both files. A new directory appears whole or not at all; in one that exists, both new
/// files are complete before the first old one is replaced. Throws Error.
inline void write_adapter_files(const std::filesystem::path& directory,
                                const std::vector<TensorSource>& tensors,
                                const std::map<std::string, std::string>& metadata,
                                const nlohmann::ordered_json& config) {
  const bool exists = path_is_directory(directory);
  if (!exists) make_directories(directory_path(directory).parent_path());
  AtomicDirectory fresh(exists ? directory / ".lorma-adapter" : directory);
  write_safetensors(fresh.path() / adapter_model_name, tensors, metadata);
  write_json(fresh.path() / adapter_config_name, config);
  if (!exists) return fresh.commit();
  for (const std::string_view name : {adapter_model_name, adapter_config_name}) {
    std::error_code error;
    std::filesystem::rename(fresh.path() / name, directory / name, error);
    if (error) throw_io_error("write_adapter_files", "replace", directory / name, error.value());
  }
  sync_directory(directory);
}

}  // namespace detail

}  // namespace lorma::inline LORMA_ABI

#endif
