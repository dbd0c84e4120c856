// SPDX-License-Identifier: Apache-2.0
#include "merge.hpp"

#include <chrono>
#include <deque>
#include <future>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "changes.hpp"
#include "checkpoint.hpp"
#include "progress.hpp"
#include "stop.hpp"
#include "stored_weight.hpp"
#include "threads.hpp"

namespace lorma_tool {
namespace {

using lorma::SafetensorsFile;
using lorma::StoredTensor;

/// Memory that one weight after the other is computed in: fresh pages cost as much as the work.
struct Scratch {
  lorma::RowMajorMatrix<float> single;
  lorma::RowMajorMatrix<double> full;
  std::vector<std::byte> bytes;  ///< the new weight, as it is to be stored

  template <typename S>
  lorma::RowMajorMatrix<S>& in() {
    if constexpr (std::same_as<S, double>)
      return full;
    else
      return single;
  }
};

/// The new weight of one target, as it is to be stored, into scratch.bytes. Throws NonFinite where
/// it is not finite.
void compute_weight(const Target& target, const MergeOptions& options, Scratch& scratch) {
  check_stop();
  check_fingerprint(*target.change, *target.tensor, options.unmerge || options.any_base);
  const lorma::Dtype type = target.tensor->dtype;
  const auto in = [&](auto zero) {
    using S = decltype(zero);
    lorma::RowMajorMatrix<S>& W = scratch.in<S>();
    load<S>(*target.file, *target.tensor, W);
    apply<S>(*target.change, {options.unmerge, options.strength, epsilon_of(type)}, W);
    round<S>(target.change->tensor, W, type, scratch.bytes);
  };
  if (options.in_double || type == lorma::Dtype::F64) {
    in(double{});
  } else {
    in(float{});
  }
}

/// Changed weights in a known order, the next ones computed while one is written.
class Ahead {
 public:
  Ahead(std::vector<Target> targets, const MergeOptions& options)
      : targets_(std::move(targets)), options_(options) {
    set_blas_threads(share_.each);
    for (unsigned i = 0; i < share_.workers; ++i) start(std::make_unique<Scratch>());
  }

  /// Hands the next weight to the sink, then begins another one in its memory.
  void write(const lorma::ByteSink& sink) {
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
      set_own_threads(share_.each);
      compute_weight(target, options_, memory);
    });
  }

  static constexpr unsigned most = 4;
  std::vector<Target> targets_;
  const MergeOptions& options_;
  ThreadShare share_ = share_of_cores(most);
  std::size_t next_ = 0;
  std::deque<Result> results_;
};

void copy_tensor(const SafetensorsFile& file, const StoredTensor& tensor,
                 const lorma::ByteSink& sink) {
  constexpr std::size_t piece = std::size_t(4) << 20;
  for (std::size_t at = 0; at < tensor.bytes.size(); at += piece) {
    check_stop();
    const auto part = tensor.bytes.subspan(at, std::min(piece, tensor.bytes.size() - at));
    file.prefetch(part);
    sink(part);
    file.forget(part);
  }
}

/// A shard with the changed tensors made as they are written.
void write_shard(const SafetensorsFile& file, const std::filesystem::path& out,
                 const std::vector<Target>& targets, const MergeOptions& options,
                 Progress& progress) {
  std::map<std::string_view, Target> here;
  for (const Target& target : targets) {
    if (target.file == &file) here[target.tensor->name] = target;
  }
  std::vector<lorma::PlannedTensor> planned;
  for (const StoredTensor& tensor : file.tensors()) {
    planned.push_back({tensor.name, tensor.dtype, tensor.shape});
  }
  const lorma::SafetensorsPlan plan(std::move(planned), file.metadata());
  std::vector<Target> order;
  for (const lorma::PlannedTensor& tensor : plan.tensors()) {
    if (const auto found = here.find(tensor.name); found != here.end()) {
      order.push_back(found->second);
    }
  }
  Ahead ahead(std::move(order), options);
  const auto produce = [&](const lorma::PlannedTensor& tensor, const lorma::ByteSink& sink) {
    check_stop();
    if (here.contains(tensor.name)) {
      ahead.write(sink);
    } else {
      copy_tensor(file, file.tensor(tensor.name), sink);
    }
    progress.done(static_cast<double>(tensor.bytes), tensor.name);
  };
  lorma::write_safetensors(out, plan, produce);
}

/// Throws lorma::Error where something is at `out`, or an input would be replaced.
void check_output(const MergeOptions& options, const Checkpoint& base) {
  namespace fs = std::filesystem;
  const std::string name = lorma::detail::in_quotes(options.out.string(), 1024);
  if (!fs::exists(fs::symlink_status(options.out))) return;
  if (!base.is_single_file() || !options.force) {
    throw lorma::Error(name + ": expected an output that does not exist" +
                       (base.is_single_file() ? " (--force replaces a file)" : ""));
  }
  std::vector<fs::path> inputs = base.paths();
  inputs.push_back(options.adapter / lorma::adapter_config_name);
  inputs.push_back(options.adapter / lorma::adapter_model_name);
  for (const fs::path& input : inputs) {
    std::error_code ignored;
    if (!fs::equivalent(input, options.out, ignored)) continue;
    throw lorma::Error(name + ": expected an output other than the inputs");
  }
}

MergeReport report_of(const Checkpoint& base, const std::vector<Target>& targets,
                      std::vector<std::string> remarks) {
  MergeReport report;
  report.remarks = std::move(remarks);
  for (const Target& target : targets) {
    report.tensors.push_back({target.change->tensor, target.file->name(),
                              std::string(lorma::dtype_name(target.tensor->dtype)),
                              static_cast<std::int64_t>(target.tensor->shape[0]),
                              static_cast<std::int64_t>(target.tensor->shape[1]),
                              target.change->text()});
  }
  for (const auto& file : base.files()) {
    report.copied += file->tensors().size();
    for (const StoredTensor& tensor : file->tensors()) report.bytes += tensor.bytes.size();
  }
  report.copied -= targets.size();
  for (const std::string& file : base.left_out()) {
    report.remarks.push_back("left out, as it would not be merged: " +
                             lorma::detail::in_quotes(file));
  }
  return report;
}

}  // namespace

MergeReport merge(const MergeOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  if (!std::isfinite(options.strength)) {
    throw lorma::Error("expected a finite strength, got " + std::to_string(options.strength));
  }
  const Checkpoint base(options.base);
  check_output(options, base);
  std::vector<std::string> remarks;
  std::vector<Change> changes = read_changes(options.adapter, remarks);
  for (const Change& change : changes) {
    check_application(change, {options.unmerge, options.strength});
  }
  const std::vector<Target> targets = fit(base, changes, options.lora_layout, remarks);
  MergeReport report = report_of(base, targets, std::move(remarks));
  if (options.dry_run) return report;
  if (options.check_first) {
    double total = 0.0;
    for (const Target& target : targets) total += double(target.tensor->bytes.size());
    Progress progress(options.progress, total, Progress::Unit::bytes);
    Scratch scratch;
    for (const Target& target : targets) {
      compute_weight(target, options, scratch);
      progress.done(double(target.tensor->bytes.size()), "checking " + target.change->tensor);
    }
  }
  Progress progress(options.progress, static_cast<double>(report.bytes), Progress::Unit::bytes);
  const Writing writing;
  if (base.is_single_file()) {
    write_shard(*base.files().front(), options.out, targets, options, progress);
  } else {
    lorma::AtomicDirectory directory(options.out);
    for (std::size_t i = 0; i < base.files().size(); ++i) {
      write_shard(*base.files()[i], directory.path() / base.paths()[i].filename(), targets, options,
                  progress);
    }
    for (const auto& companion : base.companions()) {
      check_stop();
      directory.copy(companion.path, companion.name);
    }
    directory.commit();
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

std::string to_json(const MergeReport& report) {
  nlohmann::ordered_json json;
  json["tensors"] = nlohmann::ordered_json::array();
  for (const MergedTensor& t : report.tensors) {
    json["tensors"].push_back({{"name", t.name},
                               {"file", t.file},
                               {"dtype", t.dtype},
                               {"shape", {t.rows, t.cols}},
                               {"adapter", t.adapter}});
  }
  json["copied"] = report.copied;
  json["bytes"] = report.bytes;
  json["remarks"] = report.remarks;
  json["seconds"] = report.seconds;
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

}  // namespace lorma_tool
