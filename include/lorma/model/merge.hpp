// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_MERGE_HPP
#define LORMA_MODEL_MERGE_HPP

/// Adapters into a checkpoint, or out of it again.
///
///   MergeOptions options;
///   options.base = "model";
///   options.adapters = {{"french"}, {"legal", 0.5}};   // the first, then half of the second
///   options.out = "merged";
///   MergeReport report = merge(options);

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/io/atomic_directory.hpp"
#include "lorma/io/json_file.hpp"
#include "lorma/io/paths.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/fit.hpp"
#include "lorma/model/merge_record.hpp"
#include "lorma/model/merged_files.hpp"
#include "lorma/model/merged_weight.hpp"
#include "lorma/model/monitor.hpp"
#include "lorma/model/read_changes.hpp"
#include "lorma/model/request.hpp"

namespace lorma::inline LORMA_ABI::model {

/// An adapter and its strength.
struct AdapterInUse {
  std::filesystem::path path;  ///< a directory or a file (read_changes.hpp)
  double strength = 1.0;       ///< t of (1 - t) W0 + t W
};

struct MergeOptions {
  std::filesystem::path base;          ///< file, index or directory (checkpoint.hpp)
  std::vector<AdapterInUse> adapters;  ///< in the order in which they are merged
  std::filesystem::path out;           ///< a file for a file, else a directory that does not exist
  bool unmerge = false;                ///< take the adapters out, the last one first
  bool in_double = false;              ///< compute in double; F64 weights always are
  bool check_first = false;  ///< look for NaN and infinity in all results before any is written
  bool any_base = false;     ///< do not compare fingerprints
  bool dequantize = false;   ///< write all of a quantized base as what its codes stand for
  FitOptions fit;
  /// Replace an output file; merge what is already merged; take out what the metadata does not
  /// allow.
  bool force = false;
  bool dry_run = false;  ///< check all that headers and factors can tell, write nothing
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

/// Each weight is computed in float (or double), with all adapters that change it, and rounded once
/// to its own type. Everything that headers, factors and fingerprints can tell is checked before
/// the first byte is written. The next weights are computed while one is written: memory for that
/// many in the compute type and in their own, the factors and a few pages. Throws Error, with all
/// tensors that are missing or misshaped in one message; the output path is then as it was before,
/// and the input unchanged.
LORMA_MODEL_FUNCTION MergeReport merge(const MergeOptions& options, const Monitor& monitor = {});

#ifdef LORMA_MODEL_BODIES
namespace detail {

/// Everything that a merge needs to know before anything is written.
class Merge {
 public:
  Merge(const MergeOptions& options, const Monitor& monitor)
      : options_(options), monitor_(monitor), base_(options.base) {
    check_output();
    read_adapters();
    check_records();
    find_tied_head();
    make_report();
    plan_files();
    plan_companions();
  }

  MergeReport& report() { return report_; }

  /// Throws FormatError unless every weight is the one that its adapters were made for; to unmerge,
  /// if one is, as there is nothing to take out of it.
  void check_fingerprints() {
    if (options_.any_base) return;
    Steps steps(monitor_, bytes_of_weights(), true);
    for (const MergedWeight& weight : weights_) {
      if (weight.file == nullptr) continue;
      for (const WeightedChange& one : weight.changes) {
        check_fingerprint(*one.change, *weight.tensor, options_.unmerge);
      }
      steps.done(static_cast<double>(weight.tensor->bytes.size()),
                 "recognizing " + weight.tensor->name);
      monitor_.check();
    }
  }

  /// Computes every weight. Throws NonFinite, and RankDeficient to unmerge.
  void check_results() {
    Steps steps(monitor_, bytes_of_weights(), true);
    WeightScratch scratch;
    for (const MergedWeight& weight : weights_) {
      compute_weight(weight, how(), monitor_, scratch);
      steps.done(weight.bytes(), "checking " + weight.name);
    }
  }

  void write() {
    Steps steps(monitor_, static_cast<double>(report_.bytes), true);
    const Writing writing(monitor_);
    const auto write_file = [&](const MergedFile& file, const std::filesystem::path& out) {
      file.write(out, how(), options_.ahead, monitor_, steps);
    };
    if (base_.is_single_file()) return write_file(files_.front(), options_.out);
    AtomicDirectory directory(options_.out);
    for (const MergedFile& file : files_) {
      write_file(file, directory.path() / file.name);
    }
    for (const auto& companion : base_.companions()) {
      monitor_.check();
      if (const auto found = rewritten_.find(companion.name); found != rewritten_.end()) {
        lorma::detail::write_json(directory.path() / companion.name, found->second);
      } else {
        directory.copy(companion.path, companion.name);
      }
    }
    directory.commit();
  }

 private:
  Computation how() const { return {options_.unmerge, options_.in_double}; }

  double bytes_of_weights() const {
    double total = 0.0;
    for (const MergedWeight& weight : weights_) {
      total += weight.bytes();
    }
    return total;
  }

  /// Throws Error if the output already exists, would replace an input, or cannot be written.
  void check_output() {
    namespace fs = std::filesystem;
    if (!base_.is_single_file()) {
      require_new(options_.out);
    } else if (!options_.force) {
      require_new(options_.out, " (--force replaces a file)");
    } else {
      std::vector<fs::path> inputs = base_.paths();
      for (const AdapterInUse& adapter : options_.adapters) {
        inputs.push_back(adapter.path);
        inputs.push_back(adapter.path / adapter_config_name);
        inputs.push_back(adapter.path / adapter_model_name);
      }
      for (const fs::path& input : inputs) {
        std::error_code ignored;
        if (!fs::equivalent(input, options_.out, ignored)) continue;
        throw Error(lorma::detail::in_quotes(options_.out.string(), 1024) +
                    ": expected an output other than the inputs");
      }
    }
    remark_leftovers(lorma::detail::absolute_path(options_.out).parent_path(), report_.remarks);
    if (options_.dry_run) return;
    const Writing writing(monitor_);
    if (base_.is_single_file()) {
      const AtomicFile tried(options_.out);
    } else {
      const AtomicDirectory tried(options_.out);
    }
  }

  void read_adapters() {
    if (options_.dequantize) base_.dequantize();
    if (options_.adapters.empty()) throw Error("expected an adapter to merge, got none");
    std::map<std::string, std::size_t> place;
    for (const AdapterInUse& adapter : options_.adapters) {
      if (!std::isfinite(adapter.strength)) {
        throw Error("expected a finite strength, got " + std::to_string(adapter.strength));
      }
      std::vector<Change>& changes =
          changes_.emplace_back(read_changes(adapter.path, report_.remarks));
      const bool is_dora = std::any_of(changes.begin(), changes.end(), [](const Change& change) {
        return change.add && change.add->magnitude.size() > 0;  // whose change is no sum
      });
      records_.push_back(
          record_of(adapter.path, is_dora ? "DORA" : adapter_kind(adapter.path), adapter.strength));
      for (const Change& change : changes) {
        check_application(change, {options_.unmerge, adapter.strength});
        check_factors(change);
      }
      for (const Target& target : fit(base_, changes, options_.fit, report_.remarks)) {
        const Change& change = *target.change;
        if (leaves_whole(change, adapter.strength)) continue;
        const auto [entry, is_new] = place.try_emplace(change.tensor, weights_.size());
        if (is_new) {
          weights_.push_back({change.tensor,
                              target.file,
                              target.tensor,
                              target.type,
                              {},
                              base_.quantized(change.tensor),
                              {}});
        }
        MergedWeight& weight = weights_[entry->second];
        if (is_new || change.saved) weight.shape = target.start().shape;
        weight.changes.push_back({&change, adapter.strength});
      }
    }
    if (options_.dequantize) {
      for (const auto& [name, codes] : base_.quantization().weights()) {
        if (place.contains(name)) continue;
        weights_.push_back(
            {name, codes.file, &codes.weight, codes.weight.dtype, codes.weight.shape, &codes, {}});
      }
    }
    if (!options_.unmerge) return;
    for (MergedWeight& weight : weights_) {
      std::reverse(weight.changes.begin(), weight.changes.end());
    }
  }

  /// What a strength of 0, or taking out, does not change: a tensor that came whole.
  bool leaves_whole(const Change& change, double strength) {
    if (!change.saved || (!options_.unmerge && strength != 0.0)) return false;
    report_.remarks.push_back((options_.unmerge ? "not taken out, as the base's own is not known: "
                                                : "left out, at a strength of 0: ") +
                              lorma::detail::in_quotes(change.tensor));
    return true;
  }

  /// The adapters that the base's metadata says are in it. Throws Error if the same one would be
  /// merged again, or taken out differently from how it was merged.
  void check_records() {
    std::vector<MergeRecord> old;
    for (const auto& file : base_.files()) {
      for (const MergeRecord& record : merge_records(file->metadata())) {
        if (std::find(old.begin(), old.end(), record) == old.end()) old.push_back(record);
      }
    }
    if (options_.force) return;
    if (options_.unmerge) {
      check_taken_out(records_, std::move(old));
    } else {
      check_merged(records_, old);
    }
  }

  /// The metadata of one file of the output.
  std::map<std::string, std::string> metadata_of(const SafetensorsFile& file) const {
    std::vector<MergeRecord> records = merge_records(file.metadata());
    if (options_.unmerge) {
      for (auto record = records_.rbegin(); record != records_.rend(); ++record) {
        take_out(*record, records);
      }
    } else {
      records.insert(records.end(), records_.begin(), records_.end());
    }
    return with_merge_records(file.metadata(), records);
  }

  /// A loader replaces a head that is tied to the embedding by the embedding.
  void find_tied_head() {
    if (!base_.ties_heads()) return;
    for (const MergedWeight& weight : weights_) {
      if (!is_head(weight.name)) continue;
      const std::string name = lorma::detail::in_quotes(weight.name);
      const auto& files = base_.companions();
      unties_head_ = std::any_of(files.begin(), files.end(),
                                 [](const auto& file) { return file.name == "config.json"; });
      if (!unties_head_ && !options_.force) {
        throw Error(name +
                    " is tied to the embedding (tie_word_embeddings), by which a loader "
                    "would replace the merged one: expected the model's directory as the base, to "
                    "write a config.json that says otherwise (--force does without)");
      }
      report_.remarks.push_back(name + " was tied to the embedding, and is no more: " +
                                (unties_head_ ? "tie_word_embeddings is false in the output"
                                              : "set tie_word_embeddings to false"));
      return;
    }
  }

  void make_report() {
    for (const MergedWeight& weight : weights_) {
      const SafetensorsFile& file = weight.file != nullptr ? *weight.file : *base_.files().back();
      report_.tensors.push_back({weight.name, file.name(), std::string(dtype_name(weight.type)),
                                 weight.shape, weight.text()});
      if (weight.file != nullptr) --report_.copied;
    }
    for (const auto& file : base_.files()) {
      for (const StoredTensor& tensor : file->tensors()) {
        report_.copied += leaves_out(tensor.name) ? 0 : 1;
      }
    }
    if (options_.dequantize && base_.is_single_file()) {
      report_.remarks.emplace_back(
          "the output is not quantized: a config.json for it has no quantization_config");
    }
    for (const std::string& file : base_.left_out()) {
      report_.remarks.push_back("left out: " + file);
    }
    report_.remarks.insert(report_.remarks.end(), base_.remarks().begin(), base_.remarks().end());
  }

  /// Tensors that the base does not have go into its last file.
  void plan_files() {
    for (std::size_t i = 0; i < base_.files().size(); ++i) {
      const SafetensorsFile& file = *base_.files()[i];
      const bool is_last = i + 1 == base_.files().size();
      std::map<std::string_view, const MergedWeight*> changed;
      std::vector<PlannedTensor> planned;
      for (const MergedWeight& weight : weights_) {
        if (weight.file != &file && !(weight.file == nullptr && is_last)) continue;
        changed[weight.name] = &weight;
        planned.push_back({weight.name, weight.type, weight.shape});
      }
      for (const StoredTensor& tensor : file.tensors()) {
        if (!changed.contains(tensor.name) && !leaves_out(tensor.name)) {
          planned.push_back({tensor.name, tensor.dtype, tensor.shape});
        }
      }
      auto metadata = changed.empty() ? file.metadata() : metadata_of(file);
      files_.push_back({&file, base_.paths()[i].filename(), std::move(changed),
                        SafetensorsPlan(std::move(planned), metadata)});
      report_.bytes += files_.back().plan.bytes();
    }
  }

  /// What of the base's other files is not copied as it is.
  void plan_companions() {
    for (const auto& companion : base_.companions()) {
      if ((unties_head_ || options_.dequantize) && companion.name == "config.json") {
        rewritten_[companion.name] =
            merged_config(companion.path, options_.dequantize, unties_head_);
      } else if (companion.path == base_.index() && changes_index()) {
        rewritten_[companion.name] = merged_index(companion.path, files_);
      }
    }
  }

  /// Whether a tensor is a scale, or the like, of a weight that is written dequantized.
  bool leaves_out(const std::string& name) const {
    return options_.dequantize && base_.quantization().is_part(name);
  }

  /// Whether the output's tensors differ from those that the base's index names.
  bool changes_index() const {
    return options_.dequantize ||
           std::any_of(weights_.begin(), weights_.end(),
                       [](const MergedWeight& weight) { return weight.file == nullptr; });
  }

  const MergeOptions& options_;
  const Monitor& monitor_;
  Checkpoint base_;
  std::deque<std::vector<Change>> changes_;  ///< of each adapter; they stay where they are
  std::vector<MergedWeight> weights_;
  std::vector<MergedFile> files_;
  std::map<std::filesystem::path, nlohmann::ordered_json> rewritten_;  ///< by companions' names
  std::vector<MergeRecord> records_;                                   ///< of the adapters
  bool unties_head_ = false;
  MergeReport report_;
};

}  // namespace detail

LORMA_MODEL_FUNCTION MergeReport merge(const MergeOptions& options, const Monitor& monitor) {
  const auto begin = std::chrono::steady_clock::now();
  detail::Merge merge(options, monitor);
  if (!options.dry_run) {
    merge.check_fingerprints();
    if (options.check_first) merge.check_results();
    merge.write();
  }
  MergeReport& report = merge.report();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return std::move(report);
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
