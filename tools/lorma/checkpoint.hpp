// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_CHECKPOINT_HPP
#define LORMA_TOOLS_CHECKPOINT_HPP

/// A model on disk: one safetensors file, or shards that an index names, alone or in a directory
/// with what else belongs to the model.

#include <filesystem>
#include <lorma/io/safetensors.hpp>
#include <memory>
#include <vector>

namespace lorma_tool {

bool has_arithmetic(lorma::Dtype type);

/// The shards that an index file names, beside it. Throws lorma::FormatError.
std::vector<std::filesystem::path> shards_of(const std::filesystem::path& index);

class Checkpoint {
 public:
  /// `path`: a .safetensors file, an index (.json), or a directory with model.safetensors or
  /// model.safetensors.index.json. Throws lorma::Error.
  explicit Checkpoint(const std::filesystem::path& path);

  struct Found {
    const lorma::SafetensorsFile* file = nullptr;  ///< null: no such tensor
    const lorma::StoredTensor* tensor = nullptr;
  };
  /// Throws lorma::FormatError if two shards have the tensor.
  Found find(std::string_view name) const;

  const std::vector<std::unique_ptr<lorma::SafetensorsFile>>& files() const { return files_; }
  /// Names of the files, beside each other.
  const std::vector<std::filesystem::path>& paths() const { return paths_; }
  bool is_single_file() const { return is_single_file_; }
  /// Files of the model that are no tensors: the index, configuration, vocabulary.
  const std::vector<std::filesystem::path>& companions() const { return companions_; }

 private:
  std::vector<std::filesystem::path> paths_;
  std::vector<std::filesystem::path> companions_;
  std::vector<std::unique_ptr<lorma::SafetensorsFile>> files_;
  bool is_single_file_ = false;
};

}  // namespace lorma_tool

#endif
