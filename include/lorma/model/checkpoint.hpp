// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_CHECKPOINT_HPP
#define LORMA_MODEL_CHECKPOINT_HPP

/// A model on disk: one safetensors file, or shards that an index names, alone or in a directory
/// with the model's other files.

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "lorma/io/json_file.hpp"
#include "lorma/io/paths.hpp"
#include "lorma/io/safetensors.hpp"
#include "lorma/model/adapter_files.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/quantized.hpp"
#include "lorma/model/stored_weight.hpp"

namespace lorma::inline LORMA_ABI::model {

/// Paths of the shards that an index file names, which lie beside it. Throws Error if it cannot be
/// read, FormatError for what is no index.
LORMA_MODEL_FUNCTION std::vector<std::filesystem::path> shards_of(
    const std::filesystem::path& index);

/// The tensors that an index names and its shards do not have, in words. Throws Error if the index
/// or a shard cannot be read.
LORMA_MODEL_FUNCTION std::vector<std::string> index_problems(const std::filesystem::path& index);

/// Whether a tensor is an output head, which many models tie to their embedding.
inline bool is_head(std::string_view tensor) {
  for (const std::string_view head : {"lm_head.weight", "embed_out.weight"}) {
    if (tensor == head || tensor.ends_with('.' + std::string(head))) return true;
  }
  return false;
}

class Checkpoint {
 public:
  /// `path`: a .safetensors file, an index (.json), or a directory with model.safetensors or
  /// model.safetensors.index.json. Throws Error; if an index names tensors that its shards lack,
  /// with all of them in one message.
  explicit Checkpoint(const std::filesystem::path& path);

  struct Found {
    const SafetensorsFile* file = nullptr;  ///< null: no such tensor
    const StoredTensor* tensor = nullptr;
  };
  /// After dequantize(), a quantized weight is found as what its codes stand for: type and shape,
  /// without bytes. Throws FormatError if two shards have the tensor.
  Found find(std::string_view name) const;

  const std::vector<std::unique_ptr<SafetensorsFile>>& files() const { return files_; }
  /// Paths of files(), in the same order.
  const std::vector<std::filesystem::path>& paths() const { return paths_; }
  /// Whether the path was a .safetensors file, not a directory or an index.
  bool is_single_file() const { return is_single_file_; }
  /// The file that says which tensor is where; empty where there is none.
  const std::filesystem::path& index() const { return index_; }
  /// The type of most of its numbers, among types with arithmetic (stored_weight.hpp); F32 where
  /// there are none.
  Dtype main_type() const;
  const Quantization& quantization() const { return quantization_; }
  /// From here on quantized weights are what their codes stand for. Throws FormatError unless there
  /// are any and all of them can be read.
  void dequantize();
  bool is_dequantized() const { return is_dequantized_; }
  /// The codes of a weight, after dequantize(); null before, and for weights without codes.
  const QuantizedWeight* quantized(std::string_view name) const;
  /// "gpt2" and its like, from config.json beside the files; empty where there is none.
  const std::string& model_type() const { return model_type_; }
  /// Whether the output head is the embedding, by config.json beside the files.
  bool ties_heads() const { return ties_heads_; }
  /// Bytes of all tensors.
  double bytes() const;

  struct Companion {
    std::filesystem::path path;
    std::filesystem::path name;  ///< within the model's directory
  };
  /// Files of the model without tensors: the index, configuration, vocabulary.
  const std::vector<Companion>& companions() const { return companions_; }
  /// What of the directory does not belong in a copy with other weights, and why: 'name': reason.
  const std::vector<std::string>& left_out() const { return left_out_; }
  /// What a person should know about the companions.
  const std::vector<std::string>& remarks() const { return remarks_; }

 private:
  void read_index(const std::filesystem::path& index);
  /// In a folder of the model's directory, and in those within it.
  void find_companions(const std::filesystem::path& directory, const std::filesystem::path& folder);
  void read_config(const std::filesystem::path& directory);

  std::vector<std::filesystem::path> paths_;
  std::filesystem::path index_;
  std::vector<Companion> companions_;
  std::vector<std::string> left_out_;
  std::vector<std::string> remarks_;
  std::string model_type_;
  bool ties_heads_ = false;
  Quantization quantization_;
  bool is_dequantized_ = false;
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

/// Whether a file holds the model's weights in another form. In subfolders, where parts of a model
/// may be stored, only forms in which none ever is.
inline bool is_other_weights(const std::filesystem::path& name) {
  static const std::set<std::string> never = {".onnx", ".gguf", ".h5", ".msgpack", ".ot"};
  static const std::set<std::string> at_top = {".safetensors", ".bin", ".pt", ".pth", ".ckpt"};
  const std::string extension = name.extension().string();
  if (never.contains(extension)) return true;
  return !name.has_parent_path() &&
         (at_top.contains(extension) || name.string().ends_with(".bin.index.json"));
}

/// Why a file of a model's directory does not belong in a copy with other weights; empty where it
/// does.
inline std::string reason_to_leave_out(const std::filesystem::path& name) {
  if (name == adapter_config_name) {
    return "an adapter's configuration, which loaders would follow away from the weights";
  }
  return is_other_weights(name) ? "it would not be merged" : "";
}

/// Safetensors files and indices of a directory, for a message.
inline std::string weights_in(const std::filesystem::path& directory) {
  std::vector<std::string> names;
  for (const std::filesystem::path& path : lorma::detail::paths_in(directory)) {
    const std::string name = path.filename().string();
    if (name.ends_with(".safetensors") || name.ends_with(".index.json")) {
      names.push_back(lorma::detail::in_quotes(name));
    }
  }
  return names.empty() ? "no such file" : lorma::detail::listed(names);
}

/// Whether `path`, a link, leads to something within `directory`, or to the store of blobs in which
/// a cache of models keeps what its snapshots link to.
inline bool stays_within(const std::filesystem::path& path,
                         const std::filesystem::path& directory) {
  namespace fs = std::filesystem;
  const auto is_below = [target = lorma::detail::resolved_path(path)](const fs::path& folder) {
    const auto [end, ignored] =
        std::mismatch(folder.begin(), folder.end(), target.begin(), target.end());
    return end == folder.end();
  };
  const fs::path here = lorma::detail::resolved_path(directory);
  return is_below(here) || is_below(here.parent_path().parent_path() / "blobs");
}

}  // namespace detail

LORMA_MODEL_FUNCTION std::vector<std::filesystem::path> shards_of(
    const std::filesystem::path& index) {
  std::set<std::string> names;
  for (const auto& entry : detail::weight_map(index)) names.insert(entry.second);
  std::vector<std::filesystem::path> shards;
  shards.reserve(names.size());
  for (const std::string& name : names) shards.push_back(index.parent_path() / name);
  return shards;
}

LORMA_MODEL_FUNCTION std::vector<std::string> index_problems(const std::filesystem::path& index) {
  std::map<std::string, std::unique_ptr<SafetensorsFile>> shards;
  std::vector<std::string> problems;
  for (const auto& [tensor, shard] : detail::weight_map(index)) {
    std::unique_ptr<SafetensorsFile>& file = shards[shard];
    if (!file) file = std::make_unique<SafetensorsFile>(index.parent_path() / shard);
    if (file->contains(tensor)) continue;
    problems.push_back(lorma::detail::in_quotes(shard) + " has no tensor " +
                       lorma::detail::in_quotes(tensor));
  }
  return problems;
}

LORMA_MODEL_FUNCTION Checkpoint::Checkpoint(const std::filesystem::path& path) {
  const bool is_directory = lorma::detail::path_is_directory(path);
  if (is_directory) {
    const std::filesystem::path index = path / "model.safetensors.index.json";
    const std::filesystem::path single = path / "model.safetensors";
    if (lorma::detail::path_exists(index)) {
      read_index(index);
    } else if (lorma::detail::path_exists(single)) {
      paths_ = {single};
      files_.push_back(std::make_unique<SafetensorsFile>(single));
    } else {
      throw Error(lorma::detail::in_quotes(path.string(), 1024) +
                  ": expected model.safetensors or model.safetensors.index.json in it, got " +
                  detail::weights_in(path));
    }
    find_companions(path, path);
  } else if (path.extension() == ".json") {
    read_index(path);
    companions_ = {{path, path.filename()}};
  } else {
    paths_ = {path};
    files_.push_back(std::make_unique<SafetensorsFile>(path));
    is_single_file_ = true;
  }
  read_config(is_directory ? path : path.parent_path());
}

LORMA_MODEL_FUNCTION void Checkpoint::read_config(const std::filesystem::path& directory) {
  const std::filesystem::path config = directory / "config.json";
  lorma::detail::JsonDocument json{nlohmann::json::object(), {}};
  const bool exists = lorma::detail::path_is_file(config);
  try {
    if (exists) json = lorma::detail::read_json_object(config);
  } catch (const Error&) {  // of something else
  }
  quantization_.look_at(files_, json.value);
  try {
    const lorma::detail::JsonFields fields(config, json.value);
    model_type_ = fields.text("model_type", "");
    const auto& text = fields.object("text_config");  // of models of more than text
    ties_heads_ = fields.boolean("tie_word_embeddings") ||
                  lorma::detail::JsonFields(config, text).boolean("tie_word_embeddings");
  } catch (const Error&) {  // a configuration of something else
  }
}

LORMA_MODEL_FUNCTION void Checkpoint::dequantize() {
  if (!quantization_.is_readable()) {
    const std::string& method = quantization_.method();
    throw FormatError(
        method.empty()
            ? "expected a quantized base to dequantize, got one that is not"
            : "the base is quantized (" + lorma::detail::escaped(method) +
                  "), and cannot be dequantized here: expected the model that it was made from; " +
                  lorma::detail::listed(quantization_.problems()));
  }
  is_dequantized_ = true;
}

LORMA_MODEL_FUNCTION const QuantizedWeight* Checkpoint::quantized(std::string_view name) const {
  if (!is_dequantized_) return nullptr;
  const auto found = quantization_.weights().find(name);
  return found == quantization_.weights().end() ? nullptr : &found->second;
}

LORMA_MODEL_FUNCTION void Checkpoint::read_index(const std::filesystem::path& index) {
  lorma::detail::throw_problems(index, index_problems(index));
  index_ = index;
  paths_ = shards_of(index);
  for (const std::filesystem::path& file : paths_) {
    files_.push_back(std::make_unique<SafetensorsFile>(file));
  }
}

LORMA_MODEL_FUNCTION void Checkpoint::find_companions(const std::filesystem::path& directory,
                                                      const std::filesystem::path& folder) {
  namespace fs = std::filesystem;
  const auto leave_out = [this](const fs::path& name, const std::string& why) {
    left_out_.push_back(lorma::detail::in_quotes(name.string(), 1024) + ": " + why);
  };
  for (const fs::path& path : lorma::detail::paths_in(folder)) {
    const fs::path name = path.lexically_relative(directory);
    if (name.filename().string().starts_with('.')) continue;  // of version control or a cache
    std::error_code ignored;                                  // of a link that leads nowhere
    const bool is_link = fs::is_symlink(path, ignored);
    const fs::file_type type =
        is_link ? fs::status(path, ignored).type() : lorma::detail::type_at(path);
    if (type == fs::file_type::directory) {
      if (is_link) {
        leave_out(name, "a link to a folder");
      } else {
        find_companions(directory, path);
      }
      continue;
    }
    if (type != fs::file_type::regular) {
      const bool is_lost = type == fs::file_type::not_found || type == fs::file_type::none;
      leave_out(name, !is_link  ? "no regular file"
                      : is_lost ? "a link to nothing"
                                : "a link to what is no regular file");
      continue;
    }
    if (std::find(paths_.begin(), paths_.end(), path) != paths_.end()) continue;
    if (const std::string why = detail::reason_to_leave_out(name); !why.empty()) {
      leave_out(name, why);
      continue;
    }
    if (is_link && !detail::stays_within(path, directory)) {
      remarks_.push_back(lorma::detail::in_quotes(name.string(), 1024) +
                         " is a link out of the model: copied from there");
    }
    companions_.push_back({path, name});
  }
}

LORMA_MODEL_FUNCTION Dtype Checkpoint::main_type() const {
  std::map<Dtype, double> numbers;
  for (const auto& file : files_) {
    for (const StoredTensor& tensor : file->tensors()) {
      if (!has_arithmetic(tensor.dtype)) continue;
      numbers[tensor.dtype] +=
          8.0 * static_cast<double>(tensor.bytes.size()) / dtype_bits(tensor.dtype);
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
  if (const QuantizedWeight* codes = quantized(name)) found.tensor = &codes->weight;
  return found;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
