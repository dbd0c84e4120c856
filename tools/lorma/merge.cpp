// SPDX-License-Identifier: Apache-2.0
#include "merge.hpp"

#include <chrono>
#include <future>
#include <map>
#include <nlohmann/json.hpp>

#include "changes.hpp"
#include "checkpoint.hpp"
#include "progress.hpp"
#include "stop.hpp"
#include "stored_weight.hpp"

namespace lorma_tool {
namespace {

using lorma::SafetensorsFile;
using lorma::StoredTensor;
using Bytes = std::vector<std::byte>;

/// A change and where its weight lies.
struct Target {
  const Change* change = nullptr;
  const SafetensorsFile* file = nullptr;
  const StoredTensor* tensor = nullptr;
};

std::vector<Target> find_targets(const Checkpoint& base, const std::vector<Change>& changes) {
  std::vector<Target> targets;
  std::vector<std::string> problems;
  for (const Change& change : changes) {
    const Checkpoint::Found found = base.find(change.tensor);
    if (found.file == nullptr) {
      problems.push_back("the base has no tensor " + lorma::detail::in_quotes(change.tensor));
    } else if (std::string why = misfit(change, *found.tensor); !why.empty()) {
      problems.push_back(std::move(why));
    } else {
      targets.push_back({&change, found.file, found.tensor});
    }
  }
  if (problems.empty()) return targets;
  throw lorma::FormatError("the adapter does not fit the base: " + lorma::detail::listed(problems));
}

/// The new weight, as it is to be stored. Throws NonFinite where it is not finite.
Bytes changed(const Target& target, const MergeOptions& options) {
  check_stop();
  check_fingerprint(*target.change, *target.tensor, options.unmerge || options.any_base);
  const auto in = [&](auto zero) {
    using S = decltype(zero);
    lorma::RowMajorMatrix<S> W = load<S>(*target.file, *target.tensor);
    apply<S>(*target.change, {options.unmerge, options.strength}, W);
    return rounded<S>(target.change->tensor, W, target.tensor->dtype);
  };
  const bool in_double = options.in_double || target.tensor->dtype == lorma::Dtype::F64;
  return in_double ? in(double{}) : in(float{});
}

/// Changed weights in a known order, each computed while the one before it is written.
class Ahead {
 public:
  Ahead(std::vector<Target> targets, const MergeOptions& options)
      : targets_(std::move(targets)), options_(options) {
    start();
  }
  Bytes take(const StoredTensor& tensor) {
    // The writer's order is ours (writing_order); this is what would show if it were not.
    if (next_ == 0 || targets_[next_ - 1].tensor != &tensor) {
      throw lorma::Error("lorma merge: weights out of order");
    }
    Bytes bytes = result_.get();
    start();
    return bytes;
  }

 private:
  void start() {
    if (next_ == targets_.size()) return;
    result_ =
        std::async(std::launch::async, changed, std::cref(targets_[next_]), std::cref(options_));
    ++next_;
  }

  std::vector<Target> targets_;
  const MergeOptions& options_;
  std::size_t next_ = 0;
  std::future<Bytes> result_;  // its destructor waits: last to be made, first to go
};

void copy_tensor(const SafetensorsFile& file, const StoredTensor& tensor,
                 const lorma::ByteSink& sink) {
  constexpr std::size_t piece = std::size_t(4) << 20;
  for (std::size_t at = 0; at < tensor.bytes.size(); at += piece) {
    check_stop();
    const auto part = tensor.bytes.subspan(at, std::min(piece, tensor.bytes.size() - at));
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
  std::optional<Ahead> ahead;
  std::vector<lorma::TensorSource> sources;
  for (const StoredTensor& tensor : file.tensors()) {
    const auto produce = [&, stored = &tensor](const lorma::ByteSink& sink) {
      check_stop();
      if (here.contains(stored->name)) {
        sink(ahead->take(*stored));
      } else {
        copy_tensor(file, *stored, sink);
      }
      progress.done(static_cast<double>(stored->bytes.size()), stored->name);
    };
    sources.push_back({tensor.name, tensor.dtype, tensor.shape, produce});
  }
  std::vector<Target> order;
  for (const lorma::TensorSource* source : lorma::writing_order(sources)) {
    if (const auto found = here.find(source->name); found != here.end()) {
      order.push_back(found->second);
    }
  }
  ahead.emplace(std::move(order), options);
  lorma::write_safetensors(out, sources, file.metadata());
}

MergeReport report_of(const Checkpoint& base, const std::vector<Target>& targets) {
  MergeReport report;
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
  for (const std::string& line : base.left_out()) report.left_out.push_back(line);
  return report;
}

}  // namespace

MergeReport merge(const MergeOptions& options) {
  const auto begin = std::chrono::steady_clock::now();
  if (!std::isfinite(options.strength)) {
    throw lorma::Error("expected a finite strength, got " + std::to_string(options.strength));
  }
  const Checkpoint base(options.base);
  for (const auto& path : base.paths()) {
    std::error_code ignored;
    if (!std::filesystem::equivalent(path, options.out, ignored)) continue;
    throw lorma::Error(lorma::detail::in_quotes(options.out.string(), 1024) +
                       ": expected an output other than the input");
  }
  const std::vector<Change> changes = read_changes(options.adapter);
  for (const Change& change : changes) {
    check_application(change, {options.unmerge, options.strength});
  }
  const std::vector<Target> targets = find_targets(base, changes);
  MergeReport report = report_of(base, targets);
  if (options.dry_run) return report;
  if (options.check_first) {
    double total = 0.0;
    for (const Target& target : targets) total += double(target.tensor->bytes.size());
    Progress progress(options.progress, total, Progress::Unit::bytes);
    for (const Target& target : targets) {
      changed(target, options);
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
  json["left_out"] = report.left_out;
  json["seconds"] = report.seconds;
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

}  // namespace lorma_tool
