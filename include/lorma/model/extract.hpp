// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_EXTRACT_HPP
#define LORMA_MODEL_EXTRACT_HPP

/// The adapter that lies between a checkpoint and a tuned one.

#include <algorithm>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "lorma/analysis/extract.hpp"
#include "lorma/model/adapter_report.hpp"
#include "lorma/model/base_weight.hpp"
#include "lorma/model/checkpoint.hpp"
#include "lorma/model/layer_factors.hpp"
#include "lorma/model/monitor.hpp"
#include "lorma/model/peft_lora.hpp"
#include "lorma/patterns/pattern.hpp"

namespace lorma::inline LORMA_ABI::model {

struct ExtractOptions {
  std::filesystem::path base;
  std::filesystem::path tuned;
  std::filesystem::path out;  ///< a directory that does not exist
  std::string to = "lorma";   ///< LoRMA+ factors, or "lora": those of an additive adapter
  std::int64_t rank = 0;      ///< at most; 0: 16, or any where energy or tolerance is given
  double energy = 1.0;        ///< share of the squared change that is enough
  double tolerance = 0.0;     ///< relative error of the change that is small enough
  std::string side = "Pre";
  std::string prefix;       ///< put before the modules of a LoRA adapter
  std::string match;        ///< only tensors whose name has this regular expression
  bool in_out = false;      ///< weights are stored in x out (GPT-2's Conv1D)
  std::string fused;        ///< weights whose name has this expression are split ...
  std::int64_t slices = 3;  ///< ... into so many equal parts of their outputs
  bool dry_run = false;     ///< compute and report, write nothing
};

/// Factors for every 2-D tensor that changed; embeddings and others are named, not adapted. Throws
/// Error for tensors of other shapes than the base's.
LORMA_MODEL_FUNCTION AdapterReport extract(const ExtractOptions& options,
                                           const Monitor& monitor = {});

#ifdef LORMA_MODEL_BODIES
namespace detail {

/// Whether the last part of a module's name is one that embeddings have.
inline bool is_embedding(const std::string& tensor) {
  std::string module = tensor;
  if (module.ends_with(".weight")) module.resize(module.size() - 7);
  const std::string last = module.substr(module.rfind('.') + 1);
  static const std::set<std::string> names = {"wte",      "wpe",          "shared",         "embed",
                                              "embed_in", "embed_tokens", "embed_positions"};
  return names.contains(last) || last.ends_with("embedding") || last.ends_with("embeddings");
}

/// Why a changed tensor cannot get a multiplier; empty when it can.
inline std::string obstacle(const StoredTensor& tensor) {
  if (!has_arithmetic(tensor.dtype)) return "its type has no arithmetic";
  if (tensor.shape.size() != 2) return "it is no matrix";
  return is_embedding(tensor.name) ? "it is an embedding" : "";
}

inline analysis::Truncation truncation(const ExtractOptions& options) {
  const bool by_rank = options.energy >= 1.0 && options.tolerance <= 0.0;
  return {.rank = options.rank > 0 ? Index(options.rank)
                  : by_rank        ? 16
                                   : 0,
          .energy = options.energy,
          .tolerance = options.tolerance};
}

/// Where a changed weight lies in both checkpoints.
struct ChangedWeight {
  const SafetensorsFile* base;
  const StoredTensor* before;
  const SafetensorsFile* tuned;
  const StoredTensor* after;
};

/// Calls f with W0 and W of the same slice, out x in.
template <typename F>
void with_weights(const ChangedWeight& pair, const OutputSlice& outputs, bool in_out, F&& f) {
  const auto layout = in_out ? WeightLayout::in_out : WeightLayout::out_in;
  const Matrix<double> W = base_weight(*pair.tuned, *pair.after, layout, outputs);
  with_base_weight(*pair.base, *pair.before, layout, outputs, [&](const auto& W0) { f(W0, W); });
}

template <typename Found>
void put_verdict(const Found& found, Index needed, LayerReport& line) {
  line.base_rank = found.base_rank;
  line.needed_rank = needed;
  line.unreachable = found.unreachable;
}

inline LormaLayer multiplicative(const ChangedWeight& pair, const OutputSlice& outputs,
                                 const ExtractOptions& options, AdapterReport& report) {
  LormaLayer layer;
  layer.weight = pair.before->name;
  layer.outputs = outputs;
  layer.side = options.side;
  layer.layout = options.in_out ? WeightLayout::in_out : WeightLayout::out_in;
  layer.fingerprint = fingerprint(*pair.before);
  with_weights(pair, outputs, options.in_out, [&](const auto& W0, const auto& W) {
    const bool pre = options.side == "Pre";
    const auto found = pre ? analysis::extract<Pre>(W0, W, truncation(options))
                           : analysis::extract<Post>(W0, W, truncation(options));
    layer.B = found.B.template cast<float>();
    layer.A = found.A.template cast<float>();
    layer.alpha = static_cast<double>(found.A.rows());
    const Matrix<double> old = W0.template cast<double>();
    const Matrix<double> change = W - old;
    report.layers.push_back({layer.key(), found.A.rows(), residual_of(layer, old, change)});
    put_verdict(found, pre ? W0.cols() : W0.rows(), report.layers.back());
  });
  return layer;
}

inline LoraLayer additive(const ChangedWeight& pair, const ExtractOptions& options,
                          AdapterReport& report) {
  LoraLayer layer;
  layer.module = options.prefix + peft_module(pair.before->name);
  with_weights(pair, {}, options.in_out, [&](const auto& W0, const auto& W) {
    const Matrix<double> change = W - W0.template cast<double>();
    AdditiveLayer best = best_additive(change, truncation(options));
    report.layers.push_back({pair.before->name, best.A.rows(), best.residual});
    layer.B = std::move(best.B);
    layer.A = std::move(best.A);
    // What a multiplier would reach, for comparison.
    const bool pre = options.side == "Pre";
    const auto reach = pre ? analysis::reach<Pre>(W0, W) : analysis::reach<Post>(W0, W);
    put_verdict(reach, pre ? W0.cols() : W0.rows(), report.layers.back());
  });
  return layer;
}

/// Equal parts of the outputs of a fused weight, or the whole of another one.
inline std::vector<OutputSlice> slices_of(const StoredTensor& tensor, const ExtractOptions& options,
                                          std::optional<Pattern>& fused) {
  if (!fused || options.to == "lora" || !fused->finds(tensor.name)) return {{}};
  const auto outputs = static_cast<Index>(tensor.shape[options.in_out ? 1 : 0]);
  const Index count = outputs / options.slices;
  if (count < 1 || count * options.slices != outputs) {
    throw Error(lorma::detail::in_quotes(tensor.name) + ": expected outputs in " +
                std::to_string(options.slices) + " equal slices, got " + std::to_string(outputs));
  }
  std::vector<OutputSlice> slices;
  for (Index i = 0; i < options.slices; ++i) slices.push_back({i * count, count});
  return slices;
}

/// The tensors that changed and can be adapted; the others that changed are named in `made`.
inline std::vector<ChangedWeight> changed_weights(const Checkpoint& base, const Checkpoint& tuned,
                                                  const ExtractOptions& options,
                                                  const Monitor& monitor, AdapterReport& report) {
  std::optional<Pattern> match = pattern_of(options.match, "--match");
  std::vector<ChangedWeight> pairs;
  Steps steps(monitor, base.bytes(), true);
  for (const auto& file : base.files()) {
    for (const StoredTensor& before : file->tensors()) {
      steps.done(static_cast<double>(before.bytes.size()), "comparing " + before.name);
      monitor.check();
      if (match && !match->finds(before.name)) continue;
      const Checkpoint::Found after = tuned.find(before.name);
      const std::string name = lorma::detail::in_quotes(before.name);
      if (after.file == nullptr) {
        report.remarks.push_back("left alone: " + name +
                                 ": the tuned checkpoint has no such tensor");
        continue;
      }
      if (before.shape != after.tensor->shape) {
        throw FormatError(name + ": expected one shape in both, got " +
                          lorma::detail::shape_text(before.shape) + " and " +
                          lorma::detail::shape_text(after.tensor->shape));
      }
      const bool same = same_bytes(before, *after.tensor);
      file->forget(before.bytes);
      after.file->forget(after.tensor->bytes);
      if (same) continue;
      std::string why = obstacle(before);
      if (why.empty()) why = obstacle(*after.tensor);
      if (why.empty()) {
        pairs.push_back({file.get(), &before, after.file, after.tensor});
      } else {
        report.remarks.push_back("left alone: " + name + ": changed, but " + why);
      }
    }
  }
  return pairs;
}

}  // namespace detail

LORMA_MODEL_FUNCTION AdapterReport extract(const ExtractOptions& options, const Monitor& monitor) {
  require_absent(options.out);
  const Checkpoint base(options.base);
  const Checkpoint tuned(options.tuned);
  std::optional<Pattern> fused = pattern_of(options.fused, "--fused");
  AdapterReport report;
  const std::vector<detail::ChangedWeight> pairs =
      detail::changed_weights(base, tuned, options, monitor, report);
  double total = 0.0;
  for (const detail::ChangedWeight& pair : pairs)
    total += static_cast<double>(pair.before->bytes.size());
  detail::Steps steps(monitor, total, true);
  LormaAdapter adapter;
  PeftLora lora;
  lora.fan_in_fan_out = options.in_out;
  for (const detail::ChangedWeight& pair : pairs) {
    for (const OutputSlice& outputs : detail::slices_of(*pair.before, options, fused)) {
      if (options.to == "lora") {
        lora.layers.push_back(detail::additive(pair, options, report));
      } else {
        adapter.layers.push_back(detail::multiplicative(pair, outputs, options, report));
      }
    }
    steps.done(static_cast<double>(pair.before->bytes.size()), pair.before->name);
    monitor.check();
  }
  if (options.dry_run) return report;
  make_portable(lora);
  const detail::Writing writing(monitor);
  if (options.to == "lora") {
    write_peft_lora(options.out, lora);
  } else {
    write_lorma_adapter(options.out, adapter);
  }
  return report;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
