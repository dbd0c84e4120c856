// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.hpp"

#include <lorma/io/json_file.hpp>
#include <map>
#include <set>

namespace lorma_tool {
namespace {

namespace fs = std::filesystem;
using lorma::detail::in_quotes;

/// Tensor to shard, as the index says. A shard lies beside its index: an index from outside must
/// not open other files.
std::map<std::string, std::string> weight_map(const fs::path& index) {
  constexpr std::size_t most = std::size_t(256) << 20;  // of millions of tensors
  const auto json = lorma::detail::read_json_object(index, most);
  const lorma::detail::JsonFields fields(index, json.value);
  if (!fields.find("weight_map").is_object()) fields.refuse("weight_map", "an object");
  std::map<std::string, std::string> result;
  for (const auto& item : fields.object("weight_map").items()) {
    if (!item.value().is_string()) fields.refuse("weight_map", "an object of names of files");
    const auto shard = item.value().get<std::string>();
    const fs::path name = shard;
    if (name.empty() || name != name.filename() || name == "." || name == "..") {
      throw lorma::FormatError(in_quotes(index.string(), 1024) +
                               ": expected shards without a folder, got " + in_quotes(shard));
    }
    result[item.key()] = shard;
  }
  return result;
}

/// Whether a file holds the model's weights in another form. In folders within, only what no
/// part of a model is stored in.
bool is_other_weights(const fs::path& name) {
  static const std::set<std::string> never = {".onnx", ".gguf", ".h5", ".msgpack", ".ot"};
  static const std::set<std::string> at_top = {".safetensors", ".bin", ".pt", ".pth", ".ckpt"};
  const std::string extension = name.extension().string();
  if (never.contains(extension)) return true;
  return !name.has_parent_path() &&
         (at_top.contains(extension) || name.string().ends_with(".bin.index.json"));
}

/// What config.json in a directory says of the model; empty where it says nothing.
std::string model_type_in(const fs::path& directory) {
  const fs::path config = directory / "config.json";
  if (!fs::is_regular_file(config)) return "";
  try {
    const auto json = lorma::detail::read_json_object(config);
    return lorma::detail::JsonFields(config, json.value).text("model_type", "");
  } catch (const lorma::Error&) {
    return "";
  }
}

}  // namespace

std::vector<fs::path> shards_of(const fs::path& index) {
  std::set<std::string> names;
  for (const auto& entry : weight_map(index)) names.insert(entry.second);
  std::vector<fs::path> shards;
  for (const std::string& name : names) shards.push_back(index.parent_path() / name);
  return shards;
}

Checkpoint::Checkpoint(const fs::path& path) {
  if (fs::is_directory(path)) {
    const fs::path index = path / "model.safetensors.index.json";
    const fs::path single = path / "model.safetensors";
    if (fs::exists(index)) {
      read_index(index);
    } else if (fs::exists(single)) {
      paths_ = {single};
      files_.push_back(std::make_unique<lorma::SafetensorsFile>(single));
    } else {
      throw lorma::Error(in_quotes(path.string(), 1024) +
                         ": expected model.safetensors or model.safetensors.index.json in it");
    }
    find_companions(path);
  } else if (path.extension() == ".json") {
    read_index(path);
    companions_ = {{path, path.filename()}};
  } else {
    paths_ = {path};
    files_.push_back(std::make_unique<lorma::SafetensorsFile>(path));
    is_single_file_ = true;
  }
  model_type_ = model_type_in(fs::is_directory(path) ? path : path.parent_path());
}

void Checkpoint::read_index(const fs::path& index) {
  paths_ = shards_of(index);
  std::map<std::string, const lorma::SafetensorsFile*> by_name;
  for (const fs::path& file : paths_) {
    files_.push_back(std::make_unique<lorma::SafetensorsFile>(file));
    by_name[file.filename().string()] = files_.back().get();
  }
  std::vector<std::string> problems;
  for (const auto& entry : weight_map(index)) {
    if (by_name[entry.second]->contains(entry.first)) continue;
    problems.push_back(in_quotes(entry.second) + " has no tensor " + in_quotes(entry.first));
  }
  lorma::detail::throw_problems(index, problems);
}

void Checkpoint::find_companions(const fs::path& directory) {
  for (auto it = fs::recursive_directory_iterator(directory);
       it != fs::recursive_directory_iterator(); ++it) {
    const fs::path name = it->path().lexically_relative(directory);
    if (name.filename().string().starts_with('.')) {  // a version control's, a cache's
      if (it->is_directory()) it.disable_recursion_pending();
      continue;
    }
    if (it->is_directory() && it->is_symlink()) left_out_.push_back(name.string() + " (a link)");
    if (!it->is_regular_file()) continue;
    if (std::find(paths_.begin(), paths_.end(), it->path()) != paths_.end()) continue;
    if (is_other_weights(name)) {
      left_out_.push_back(name.string());
    } else {
      companions_.push_back({it->path(), name});
    }
  }
}

double Checkpoint::bytes() const {
  double sum = 0.0;
  for (const auto& file : files_) {
    for (const auto& tensor : file->tensors()) sum += static_cast<double>(tensor.bytes.size());
  }
  return sum;
}

Checkpoint::Found Checkpoint::find(std::string_view name) const {
  Found found;
  for (const auto& file : files_) {
    if (!file->contains(name)) continue;
    if (found.file != nullptr) {
      throw lorma::FormatError(in_quotes(file->name()) + ": tensor " + in_quotes(name) +
                               " is also in " + in_quotes(found.file->name()));
    }
    found = {file.get(), &file->tensor(name)};
  }
  return found;
}

}  // namespace lorma_tool
