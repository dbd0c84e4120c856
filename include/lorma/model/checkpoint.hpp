// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_CHECKPOINT_HPP
#define LORMA_MODEL_CHECKPOINT_HPP

/// A model on disk: one safetensors file, or shards that an index names, alone or in a directory
/// with what else belongs to the model.

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "lorma/io/json_file.hpp"
#include "lorma/io/safetensors.hpp"
#include "lorma/model/compiled.hpp"

namespace lorma::inline LORMA_ABI::model {

/// The shards that an index file names, beside it. Throws FormatError.
LORMA_MODEL_FUNCTION std::vector<std::filesystem::path> shards_of(
    const std::filesystem::path& index);

class Checkpoint {
 public:
  /// `path`: a .safetensors file, an index (.json), or a directory with model.safetensors or
  /// model.safetensors.index.json. Throws Error; for an index that names tensors which are
  /// not in their shards, with all of them.
  explicit Checkpoint(const std::filesystem::path& path);

  struct Found {
    const SafetensorsFile* file = nullptr;  ///< null: no such tensor
    const StoredTensor* tensor = nullptr;
  };
  /// Throws FormatError if two shards have the tensor.
  Found find(std::string_view name) const;

  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return files_; }
  /// Names of the files, beside each other.
  const std::vector<std::filesystem::path>& paths() const { return paths_; }
  bool is_single_file() const { return is_single_file_; }
  /// The type in which most of its numbers with arithmetic are stored; F32 where there are none.
  Dtype main_type() const;
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
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  bool is_single_file_ = false;
};

#ifdef LORMA_MODEL_BODIES
namespace detail {

inline constexpr std::size_t most_index_bytes = std::size_t(256) << 20;  // of millions of tensors

/// Tensor to shard, as the index says. A shard lies beside its index: an index from outside must
/// not open other files.
inline std::map<std::string, std::string> weight_map(const std::filesystem::path& index) {
  const auto json = lorma::detail::read_json_object(index, most_index_bytes);
  const lorma::detail::JsonFields fields(index, json.value);
  if (!fields.find("weight_map").is_object()) fields.refuse("weight_map", "an object");
  std::map<std::string, std::string> result;
  for (const auto& item : fields.object("weight_map").items()) {
    if (!item.value().is_string()) fields.refuse("weight_map", "an object of names of files");
    const auto shard = item.value().get<std::string>();
    const std::filesystem::path name = shard;
    if (name.empty() || name != name.filename() || name == "." || name == "..") {
      throw FormatError(lorma::detail::in_quotes(index.string(), 1024) +
                        ": expected shards without a folder, got " +
                        lorma::detail::in_quotes(shard));
    }
    result[item.key()] = shard;
  }
  return result;
}

/// Whether a file holds the model's weights in another form. In folders within, only what no
/// part of a model is stored in.
inline bool is_other_weights(const std::filesystem::path& name) {
  static const std::set<std::string> never = {".onnx", ".gguf", ".h5", ".msgpack", ".ot"};
  static const std::set<std::string> at_top = {".safetensors", ".bin", ".pt", ".pth", ".ckpt"};
  const std::string extension = name.extension().string();
  if (never.contains(extension)) return true;
  return !name.has_parent_path() &&
         (at_top.contains(extension) || name.string().ends_with(".bin.index.json"));
}

/// What config.json in a directory says of the model; empty where it says nothing.
inline std::string model_type_in(const std::filesystem::path& directory) {
  const std::filesystem::path config = directory / "config.json";
  if (!std::filesystem::is_regular_file(config)) return "";
  try {
    const auto json = lorma::detail::read_json_object(config);
    return lorma::detail::JsonFields(config, json.value).text("model_type", "");
  } catch (const Error&) {
    return "";
  }
}

}  // namespace detail

LORMA_MODEL_FUNCTION std::vector<std::filesystem::path> shards_of(
    const std::filesystem::path& index) {
  std::set<std::string> names;
  for (const auto& entry : detail::weight_map(index)) names.insert(entry.second);
  std::vector<std::filesystem::path> shards;
  for (const std::string& name : names) shards.push_back(index.parent_path() / name);
  return shards;
}

LORMA_MODEL_FUNCTION Checkpoint::Checkpoint(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path)) {
    const std::filesystem::path index = path / "model.safetensors.index.json";
    const std::filesystem::path single = path / "model.safetensors";
    if (std::filesystem::exists(index)) {
      read_index(index);
    } else if (std::filesystem::exists(single)) {
      paths_ = {single};
      files_.push_back(std::make_unique<SafetensorsFile>(single));
    } else {
      throw Error(lorma::detail::in_quotes(path.string(), 1024) +
                  ": expected model.safetensors or model.safetensors.index.json in it");
    }
    find_companions(path);
  } else if (path.extension() == ".json") {
    read_index(path);
    companions_ = {{path, path.filename()}};
  } else {
    paths_ = {path};
    files_.push_back(std::make_unique<SafetensorsFile>(path));
    is_single_file_ = true;
  }
  model_type_ =
      detail::model_type_in(std::filesystem::is_directory(path) ? path : path.parent_path());
}

LORMA_MODEL_FUNCTION void Checkpoint::read_index(const std::filesystem::path& index) {
  paths_ = shards_of(index);
  std::map<std::string, const SafetensorsFile*> by_name;
  for (const std::filesystem::path& file : paths_) {
    files_.push_back(std::make_unique<SafetensorsFile>(file));
    by_name[file.filename().string()] = files_.back().get();
  }
  std::vector<std::string> problems;
  for (const auto& entry : detail::weight_map(index)) {
    if (by_name[entry.second]->contains(entry.first)) continue;
    problems.push_back(lorma::detail::in_quotes(entry.second) + " has no tensor " +
                       lorma::detail::in_quotes(entry.first));
  }
  lorma::detail::throw_problems(index, problems);
}

LORMA_MODEL_FUNCTION void Checkpoint::find_companions(const std::filesystem::path& directory) {
  for (auto it = std::filesystem::recursive_directory_iterator(directory);
       it != std::filesystem::recursive_directory_iterator(); ++it) {
    const std::filesystem::path name = it->path().lexically_relative(directory);
    if (name.filename().string().starts_with('.')) {  // a version control's, a cache's
      if (it->is_directory()) it.disable_recursion_pending();
      continue;
    }
    if (it->is_directory() && it->is_symlink()) left_out_.push_back(name.string() + " (a link)");
    if (!it->is_regular_file()) continue;
    if (std::find(paths_.begin(), paths_.end(), it->path()) != paths_.end()) continue;
    if (detail::is_other_weights(name)) {
      left_out_.push_back(name.string());
    } else {
      companions_.push_back({it->path(), name});
    }
  }
}

LORMA_MODEL_FUNCTION Dtype Checkpoint::main_type() const {
  std::map<Dtype, double> numbers;
  for (const auto& file : files_) {
    for (const StoredTensor& tensor : file->tensors()) {
      const Dtype type = tensor.dtype;
      if (type != Dtype::F64 && type != Dtype::F32 && type != Dtype::F16 && type != Dtype::BF16) {
        continue;
      }
      numbers[type] += 8.0 * static_cast<double>(tensor.bytes.size()) / dtype_bits(type);
    }
  }
  Dtype main = Dtype::F32;
  double most = 0.0;
  for (const auto& [type, count] : numbers) {
    if (count <= most) continue;
    main = type;
    most = count;
  }
  return main;
}

LORMA_MODEL_FUNCTION double Checkpoint::bytes() const {
  double sum = 0.0;
  for (const auto& file : files_) {
    for (const auto& tensor : file->tensors()) sum += static_cast<double>(tensor.bytes.size());
  }
  return sum;
}

LORMA_MODEL_FUNCTION Checkpoint::Found Checkpoint::find(std::string_view name) const {
  Found found;
  for (const auto& file : files_) {
    if (!file->contains(name)) continue;
    if (found.file != nullptr) {
      throw FormatError(lorma::detail::in_quotes(file->name()) + ": tensor " +
                        lorma::detail::in_quotes(name) + " is also in " +
                        lorma::detail::in_quotes(found.file->name()));
    }
    found = {file.get(), &file->tensor(name)};
  }
  return found;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
