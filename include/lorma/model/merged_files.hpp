// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_MERGED_FILES_HPP
#define LORMA_MODEL_MERGED_FILES_HPP

/// The files of a checkpoint with merged weights: planned, then written, the next weights computed
/// while one is written.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/io/json_file.hpp"
#include "lorma/io/safetensors.hpp"
#include "lorma/model/checkpoint.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/merged_weight.hpp"
#include "lorma/model/monitor.hpp"

#ifdef LORMA_MODEL_BODIES
namespace lorma::inline LORMA_ABI::model::detail {

/// Weights in a known order, the next ones computed while one is written.
class Ahead {
 public:
  Ahead(std::vector<const MergedWeight*> weights, const Computation& how, unsigned count,
        const Monitor& monitor)
      : weights_(std::move(weights)), how_(how), monitor_(monitor) {
    for (unsigned i = 0; i < std::max(count, 1U); ++i) start(std::make_unique<WeightScratch>());
  }

  /// Passes the next weight to the sink, then begins another one in its memory.
  void write(const ByteSink& sink) {
    results_.front().done.get();
    std::unique_ptr<WeightScratch> scratch = std::move(results_.front().scratch);
    results_.pop_front();
    sink(scratch->bytes);
    start(std::move(scratch));
  }

 private:
  struct Result {
    std::unique_ptr<WeightScratch> scratch;
    std::future<void> done;  // its destructor waits: last to be made, first to go
  };

  void start(std::unique_ptr<WeightScratch> scratch) {
    if (next_ == weights_.size()) return;
    const MergedWeight& weight = *weights_[next_++];
    WeightScratch& memory = *scratch;
    results_.push_back({std::move(scratch), {}});
    results_.back().done = std::async(std::launch::async, [this, &weight, &memory] {
      if (monitor_.begin_thread) monitor_.begin_thread();
      compute_weight(weight, how_, monitor_, memory);
    });
  }

  std::vector<const MergedWeight*> weights_;
  Computation how_;
  const Monitor& monitor_;
  std::size_t next_ = 0;
  std::deque<Result> results_;
};

/// A file, laid out before anything is computed or written.
struct MergedFile {
  const SafetensorsFile* file;  ///< of the base, whose tensors it holds
  std::filesystem::path name;
  std::map<std::string_view, const MergedWeight*> changed;
  SafetensorsPlan plan;

  /// Computes the changed tensors as they are written. Throws Error, and leaves no file.
  void write(const std::filesystem::path& out, const Computation& how, unsigned count,
             const Monitor& monitor, Steps& steps) const {
    std::vector<const MergedWeight*> order;
    for (const PlannedTensor& tensor : plan.tensors()) {
      if (const auto found = changed.find(tensor.name); found != changed.end()) {
        order.push_back(found->second);
      }
    }
    Ahead ahead(std::move(order), how, count, monitor);
    write_safetensors(out, plan, [&](const PlannedTensor& tensor, const ByteSink& sink) {
      monitor.check();
      if (changed.contains(tensor.name)) {
        ahead.write(sink);
      } else {
        copy(file->tensor(tensor.name), monitor, sink);
      }
      steps.done(static_cast<double>(tensor.bytes), tensor.name);
    });
  }

 private:
  void copy(const StoredTensor& tensor, const Monitor& monitor, const ByteSink& sink) const {
    constexpr std::size_t piece = std::size_t(4) << 20;
    for (std::size_t at = 0; at < tensor.bytes.size(); at += piece) {
      monitor.check();
      const auto part = tensor.bytes.subspan(at, std::min(piece, tensor.bytes.size() - at));
      file->prefetch(part);
      sink(part);
      file->forget(part);
    }
  }
};

/// The base's index, with the tensors and the size of the files as they will be written. Throws
/// Error.
inline nlohmann::ordered_json merged_index(const std::filesystem::path& index,
                                           const std::vector<MergedFile>& files) {
  nlohmann::ordered_json json = lorma::detail::read_json_object(index, most_index_bytes).value;
  std::map<std::string, std::string> places;
  std::uint64_t bytes = 0;
  for (const MergedFile& file : files) {
    for (const PlannedTensor& tensor : file.plan.tensors()) {
      places[tensor.name] = file.name.string();
      bytes += tensor.bytes;
    }
  }
  json["weight_map"] = places;
  if (json.contains("metadata") && json["metadata"].is_object() &&
      json["metadata"].contains("total_size")) {
    json["metadata"]["total_size"] = bytes;
  }
  return json;
}

/// The model's configuration as it applies to dequantized weights, or to a head that is no longer
/// tied to the embedding. Throws Error.
inline nlohmann::ordered_json merged_config(const std::filesystem::path& config,
                                            bool is_dequantized, bool has_own_head) {
  nlohmann::ordered_json json = lorma::detail::read_json_object(config).value;
  if (is_dequantized) json.erase("quantization_config");
  if (has_own_head) {
    json["tie_word_embeddings"] = false;
    if (json.contains("text_config") && json["text_config"].contains("tie_word_embeddings")) {
      json["text_config"]["tie_word_embeddings"] = false;
    }
  }
  return json;
}

}  // namespace lorma::inline LORMA_ABI::model::detail
#endif

#endif
