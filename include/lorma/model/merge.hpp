// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_MERGE_HPP
#define LORMA_MODEL_MERGE_HPP

/// An adapter into a checkpoint, or out of it again.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lorma/io/atomic_directory.hpp"
#include "lorma/model/apply.hpp"
#include "lorma/model/fit.hpp"
#include "lorma/model/monitor.hpp"
#include "lorma/model/read_changes.hpp"

namespace lorma::inline LORMA_ABI::model {

struct MergeOptions {
  std::filesystem::path base;     ///< file, index or directory (checkpoint.hpp)
  std::filesystem::path adapter;  ///< directory of a LoRMA or PEFT LoRA adapter
  std::filesystem::path out;      ///< a file for a file, else a directory that does not exist
  bool unmerge = false;
  double strength = 1.0;     ///< t of (1 - t) W0 + t W
  bool in_double = false;    ///< compute in double; F64 weights always are
  bool check_first = false;  ///< look for NaN and infinity in all results before any is written
  bool any_base = false;     ///< take a base whose fingerprint is another
  LoraLayout lora_layout = LoraLayout::by_shape;
  bool force = false;    ///< replace an output file
  bool dry_run = false;  ///< check everything that reading headers and factors can
  unsigned ahead = 1;    ///< weights computed while one is written, a thread each
};

struct MergedTensor {
  std::string name;
  std::string file;
  std::string dtype;
  std::vector<std::uint64_t> shape;  ///< as it is written
  std::string adapter;               ///< "Identity, Pre, rank 8"
};

struct MergeReport {
  std::vector<MergedTensor> tensors;
  std::uint64_t copied = 0;          ///< tensors that are as they were
  std::uint64_t bytes = 0;           ///< of all tensors written
  std::vector<std::string> remarks;  ///< what a person should know
  double seconds = 0.0;
};

/// The next weights are computed while one is written, as many as there are cores but four at most:
/// memory of so many adapted weights in the compute type and in their own, the factors and a few
/// pages. Each weight is computed in float (or
/// double) and rounded once to its own type. Throws Error, with all tensors that are missing
/// or misshaped in one message; the output is then absent and the input whole.
LORMA_MODEL_FUNCTION MergeReport merge(const MergeOptions& options, const Monitor& monitor = {});

#ifdef LORMA_MODEL_BODIES
namespace detail {

/// Memory that one weight after the other is computed in: fresh pages cost as much as the work.
struct Scratch {
  RowMajorMatrix<float> single;
  RowMajorMatrix<double> full;
  std::vector<std::byte> bytes;  ///< the new weight, as it is to be stored

  template <typename S>
  RowMajorMatrix<S>& in() {
    if constexpr (std::same_as<S, double>)
      return full;
    else
      return single;
  }
};

/// The new weight of one target, as it is to be stored, into scratch.bytes. Throws NonFinite where
/// it is not finite.
inline void compute_weight(const Target& target, const MergeOptions& options,
                           const Monitor& monitor, Scratch& scratch) {
  monitor.check();
  const Change& change = *target.change;
  if (target.file != nullptr) {
    check_fingerprint(change, *target.tensor, options.unmerge || options.any_base);
  }
  const StoredTensor& start = target.start();
  // A whole tensor has no multiple: less of it is more of the base's.
  const bool is_mixed = change.saved && options.strength != 1.0 && target.file != nullptr &&
                        target.tensor->shape == start.shape;
  const bool is_copy = change.saved && !change.add && change.multiply.empty() && !is_mixed;
  if (is_copy && start.dtype == target.type) {
    scratch.bytes.assign(start.bytes.begin(), start.bytes.end());
    return;
  }
  const MatrixStack stack = matrices_of(change.form, start.shape).value_or(flat(start.shape));
  const auto in = [&](auto zero) {
    using S = decltype(zero);
    RowMajorMatrix<S>& W = scratch.in<S>();
    load<S>(target.start_file(), start, stack, W);
    apply<S>(change,
             {options.unmerge, change.saved ? 1.0 : options.strength, epsilon_of(target.type)}, W);
    if (is_mixed) {
      RowMajorMatrix<S> base;
      load<S>(*target.file, *target.tensor, stack, base);
      const auto t = static_cast<S>(options.strength);
      W = (S(1) - t) * base + t * W;
    }
    monitor.check();
    round<S>(change.tensor, W, target.type, scratch.bytes);
  };
  if (options.in_double || target.type == Dtype::F64) {
    in(double{});
  } else {
    in(float{});
  }
}

/// Changed weights in a known order, the next ones computed while one is written.
class Ahead {
 public:
  Ahead(std::vector<Target> targets, const MergeOptions& options, const Monitor& monitor)
      : targets_(std::move(targets)), options_(options), monitor_(monitor) {
    for (unsigned i = 0; i < std::max(options.ahead, 1U); ++i) start(std::make_unique<Scratch>());
  }

  /// Hands the next weight to the sink, then begins another one in its memory.
  void write(const ByteSink& sink) {
    results_.front().done.get();
    std::unique_ptr<Scratch> scratch = std::move(results_.front().scratch);
    results_.pop_front();
    sink(scratch->bytes);
    start(std::move(scratch));
  }

 private:
  struct Result {
    const Target* target;
    std::unique_ptr<Scratch> scratch;
    std::future<void> done;  // its destructor waits: last to be made, first to go
  };

  void start(std::unique_ptr<Scratch> scratch) {
    if (next_ == targets_.size()) return;
    const Target& target = targets_[next_++];
    Scratch& memory = *scratch;
    results_.push_back({&target, std::move(scratch), {}});
    results_.back().done = std::async(std::launch::async, [this, &target, &memory] {
      if (monitor_.begin_thread) monitor_.begin_thread();
      compute_weight(target, options_, monitor_, memory);
    });
  }

  std::vector<Target> targets_;
  const MergeOptions& options_;
  const Monitor& monitor_;
  std::size_t next_ = 0;
  std::deque<Result> results_;
};

inline void copy_tensor(const SafetensorsFile& file, const StoredTensor& tensor,
                        const Monitor& monitor, const ByteSink& sink) {
  constexpr std::size_t piece = std::size_t(4) << 20;
  for (std::size_t at = 0; at < tensor.bytes.size(); at += piece) {
    monitor.check();
    const auto part = tensor.bytes.subspan(at, std::min(piece, tensor.bytes.size() - at));
    file.prefetch(part);
    sink(part);
    file.forget(part);
  }
}

/// A file of the output, laid out before anything is computed or written.
struct PlannedShard {
  const SafetensorsFile* file;  ///< of the base, whose tensors it holds
  std::filesystem::path name;
  SafetensorsPlan plan;
  std::map<std::string_view, Target> changed;
};

/// Tensors that the base does not have go into its last file.
inline std::vector<PlannedShard> plan_output(const Checkpoint& base,
                                             const std::vector<Target>& targets) {
  std::vector<PlannedShard> shards;
  for (std::size_t i = 0; i < base.files().size(); ++i) {
    const SafetensorsFile& file = *base.files()[i];
    const bool is_last = i + 1 == base.files().size();
    std::map<std::string_view, Target> changed;
    std::vector<PlannedTensor> planned;
    for (const Target& target : targets) {
      if (target.file != &file && !(target.file == nullptr && is_last)) continue;
      changed[target.change->tensor] = target;
      planned.push_back({target.change->tensor, target.type, target.start().shape});
    }
    for (const StoredTensor& tensor : file.tensors()) {
      if (changed.contains(tensor.name)) continue;
      planned.push_back({tensor.name, tensor.dtype, tensor.shape});
    }
    shards.push_back({&file, base.paths()[i].filename(),
                      SafetensorsPlan(std::move(planned), file.metadata()), std::move(changed)});
  }
  return shards;
}

/// A shard with the changed tensors made as they are written.
inline void write_shard(const PlannedShard& shard, const std::filesystem::path& out,
                        const MergeOptions& options, const Monitor& monitor, Steps& steps) {
  std::vector<Target> order;
  for (const PlannedTensor& tensor : shard.plan.tensors()) {
    if (const auto found = shard.changed.find(tensor.name); found != shard.changed.end()) {
      order.push_back(found->second);
    }
  }
  Ahead ahead(std::move(order), options, monitor);
  write_safetensors(out, shard.plan, [&](const PlannedTensor& tensor, const ByteSink& sink) {
    monitor.check();
    if (shard.changed.contains(tensor.name)) {
      ahead.write(sink);
    } else {
      copy_tensor(*shard.file, shard.file->tensor(tensor.name), monitor, sink);
    }
    steps.done(static_cast<double>(tensor.bytes), tensor.name);
  });
}

/// The index of the shards as they are written.
inline void write_index(const std::filesystem::path& old, const std::vector<PlannedShard>& shards,
                        const std::filesystem::path& out) {
  nlohmann::ordered_json index = lorma::detail::read_json_object(old, most_index_bytes).value;
  std::uint64_t bytes = 0;
  std::map<std::string, std::string> places;
  for (const PlannedShard& shard : shards) {
    for (const PlannedTensor& tensor : shard.plan.tensors()) {
      places[tensor.name] = shard.name.string();
      bytes += tensor.bytes;
    }
  }
  index["weight_map"] = places;
  if (index.contains("metadata") && index["metadata"].contains("total_size")) {
    index["metadata"]["total_size"] = bytes;
  }
  lorma::detail::write_json(out, index);
}

/// Throws Error where something is at `out`, or an input would be replaced.
inline void check_output(const MergeOptions& options, const Checkpoint& base) {
  const std::string name = lorma::detail::in_quotes(options.out.string(), 1024);
  if (!std::filesystem::exists(std::filesystem::symlink_status(options.out))) return;
  if (!base.is_single_file() || !options.force) {
    throw Error(name + ": expected an output that does not exist" +
                (base.is_single_file() ? " (--force replaces a file)" : ""));
  }
  std::vector<std::filesystem::path> inputs = base.paths();
  inputs.push_back(options.adapter / adapter_config_name);
  inputs.push_back(options.adapter / adapter_model_name);
  for (const std::filesystem::path& input : inputs) {
    std::error_code ignored;
    if (!std::filesystem::equivalent(input, options.out, ignored)) continue;
    throw Error(name + ": expected an output other than the inputs");
  }
}

inline MergeReport report_of(const Checkpoint& base, const std::vector<Target>& targets,
                             std::vector<std::string> remarks) {
  MergeReport report;
  report.remarks = std::move(remarks);
  for (const Target& target : targets) {
    const SafetensorsFile& file = target.file != nullptr ? *target.file : *base.files().back();
    report.tensors.push_back({target.change->tensor, file.name(),
                              std::string(dtype_name(target.type)), target.start().shape,
                              target.change->text()});
  }
  for (const auto& file : base.files()) {
    report.copied += file->tensors().size();
  }
  for (const Target& target : targets) report.copied -= target.file != nullptr ? 1 : 0;
  for (const std::string& file : base.left_out()) {
    report.remarks.push_back("left out, as it would not be merged: " +
                             lorma::detail::in_quotes(file));
  }
  return report;
}

/// What a strength of 0, or taking out, does not touch: tensors that came whole.
inline void leave_whole(std::vector<Target>& targets, const MergeOptions& options,
                        std::vector<std::string>& remarks) {
  if (!options.unmerge && options.strength != 0.0) return;
  const auto is_whole = [](const Target& target) { return target.change->saved.has_value(); };
  for (const Target& target : targets) {
    if (!is_whole(target)) continue;
    remarks.push_back(
        (options.unmerge ? "not taken out, as the base's own is not known: " : "left out: ") +
        lorma::detail::in_quotes(target.change->tensor));
  }
  std::erase_if(targets, is_whole);
}

}  // namespace detail

LORMA_MODEL_FUNCTION MergeReport merge(const MergeOptions& options, const Monitor& monitor) {
  const auto begin = std::chrono::steady_clock::now();
  if (!std::isfinite(options.strength)) {
    throw Error("expected a finite strength, got " + std::to_string(options.strength));
  }
  const Checkpoint base(options.base);
  detail::check_output(options, base);
  std::vector<std::string> remarks;
  std::vector<Change> changes = read_changes(options.adapter, remarks);
  for (const Change& change : changes) {
    check_application(change, {options.unmerge, options.strength});
  }
  std::vector<Target> targets = fit(base, changes, options.lora_layout, remarks);
  detail::leave_whole(targets, options, remarks);
  MergeReport report = detail::report_of(base, targets, std::move(remarks));
  const std::vector<detail::PlannedShard> shards = detail::plan_output(base, targets);
  for (const detail::PlannedShard& shard : shards) report.bytes += shard.plan.bytes();
  if (options.dry_run) return report;
  if (options.check_first) {
    double total = 0.0;
    for (const Target& target : targets) total += double(target.start().bytes.size());
    detail::Steps steps(monitor, total, true);
    detail::Scratch scratch;
    for (const Target& target : targets) {
      detail::compute_weight(target, options, monitor, scratch);
      steps.done(double(target.start().bytes.size()), "checking " + target.change->tensor);
    }
  }
  detail::Steps steps(monitor, static_cast<double>(report.bytes), true);
  const detail::Writing writing(monitor);
  if (base.is_single_file()) {
    detail::write_shard(shards.front(), options.out, options, monitor, steps);
  } else {
    AtomicDirectory directory(options.out);
    for (const detail::PlannedShard& shard : shards) {
      detail::write_shard(shard, directory.path() / shard.name, options, monitor, steps);
    }
    const bool is_new = std::any_of(targets.begin(), targets.end(),
                                    [](const Target& target) { return target.file == nullptr; });
    for (const auto& companion : base.companions()) {
      monitor.check();
      if (is_new && companion.name.string().ends_with(".safetensors.index.json") &&
          !companion.name.has_parent_path()) {
        detail::write_index(companion.path, shards, directory.path() / companion.name);
      } else {
        directory.copy(companion.path, companion.name);
      }
    }
    directory.commit();
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
