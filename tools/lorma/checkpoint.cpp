// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

namespace lorma_tool {

namespace fs = std::filesystem;
using lorma::Dtype;

bool has_arithmetic(Dtype type) {
  return type == Dtype::F64 || type == Dtype::F32 || type == Dtype::F16 || type == Dtype::BF16;
}

/// The shards that an index file names, beside it. Throws lorma::FormatError.
std::vector<fs::path> shards_of(const fs::path& index) {
  std::ifstream in(index, std::ios::binary);
  if (!in) throw lorma::Error("cannot read " + lorma::detail::in_quotes(index.string()));
  const auto json = nlohmann::json::parse(in, nullptr, false);
  const auto refuse = [&index](const std::string& what) {
    throw lorma::FormatError(lorma::detail::in_quotes(index.string()) + ": " + what);
  };
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    refuse("expected an index with an object \"weight_map\"");
  }
  std::set<std::string> names;
  for (const auto& [tensor, shard] : json["weight_map"].items()) {
    if (!shard.is_string()) refuse("expected names of files in \"weight_map\"");
    const fs::path name = shard.get<std::string>();
    // A shard lies beside its index: an index from outside must not open other files.
    if (name.empty() || name != name.filename() || name == "." || name == "..") {
      refuse("expected shards without a folder, got " + lorma::detail::in_quotes(name.string()));
    }
    names.insert(name.string());
  }
  std::vector<fs::path> shards;
  for (const std::string& name : names) shards.push_back(index.parent_path() / name);
  return shards;
}

Checkpoint::Checkpoint(const fs::path& path) {
  if (fs::is_directory(path)) {
    const fs::path index = path / "model.safetensors.index.json";
    const fs::path single = path / "model.safetensors";
    if (fs::exists(index)) {
      paths_ = shards_of(index);
    } else if (fs::exists(single)) {
      paths_ = {single};
    } else {
      throw lorma::Error(lorma::detail::in_quotes(path.string(), 1024) +
                         ": expected model.safetensors or model.safetensors.index.json in it");
    }
    for (const auto& entry : fs::directory_iterator(path)) {
      if (entry.is_regular_file() && entry.path().extension() != ".safetensors") {
        companions_.push_back(entry.path());
      }
    }
  } else if (path.extension() == ".json") {
    paths_ = shards_of(path);
    companions_ = {path};
  } else {
    paths_ = {path};
    is_single_file_ = true;
  }
  for (const fs::path& file : paths_) {
    files_.push_back(std::make_unique<lorma::SafetensorsFile>(file));
  }
}

Checkpoint::Found Checkpoint::find(std::string_view name) const {
  Found found;
  for (const auto& file : files_) {
    if (!file->contains(name)) continue;
    if (found.file != nullptr) {
      throw lorma::FormatError(lorma::detail::in_quotes(file->name()) + ": tensor " +
                               lorma::detail::in_quotes(name) + " is also in " +
                               lorma::detail::in_quotes(found.file->name()));
    }
    found = {file.get(), &file->tensor(name)};
  }
  return found;
}

}  // namespace lorma_tool
