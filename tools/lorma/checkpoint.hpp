// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_CHECKPOINT_HPP
#define LORMA_TOOLS_CHECKPOINT_HPP

/// A model on disk: one safetensors file, or shards that an index names, alone or in a directory
/// with what else belongs to the model.

#include <filesystem>
#include <lorma/io/safetensors.hpp>
#include <memory>
#include <string>
#include <vector>

namespace lorma_tool {

/// The shards that an index file names, beside it. Throws lorma::FormatError.
std::vector<std::filesystem::path> shards_of(const std::filesystem::path& index);

class Checkpoint {
 public:
  /// `path`: a .safetensors file, an index (.json), or a directory with model.safetensors or
  /// model.safetensors.index.json. Throws lorma::Error; for an index that names tensors which are
  /// not in their shards, with all of them.
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
  /// "gpt2" and its like, from config.json beside the files; empty where there is none.
  const std::string& model_type() const { return model_type_; }
  /// Bytes of all tensors.
  double bytes() const;

  struct Companion {
    std::filesystem::path path;
    std::filesystem::path name;  ///< within the model's directory
  };
  /// Files of the model that are no tensors: the index, configuration, vocabulary.
  const std::vector<Companion>& companions() const { return companions_; }
  /// Files of the directory that hold the same weights in another form, and would not be merged.
  const std::vector<std::string>& left_out() const { return left_out_; }

 private:
  void read_index(const std::filesystem::path& index);
  void find_companions(const std::filesystem::path& directory);

  std::vector<std::filesystem::path> paths_;
  std::vector<Companion> companions_;
  std::vector<std::string> left_out_;
  std::string model_type_;
  std::vector<std::unique_ptr<lorma::SafetensorsFile>> files_;
  bool is_single_file_ = false;
};

}  // namespace lorma_tool

#endif
