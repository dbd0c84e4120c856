// SPDX-License-Identifier: Apache-2.0
#include "extract.hpp"

#include <lorma/analysis/extract.hpp>
#include <lorma/io/peft_lora.hpp>
#include <optional>
#include <regex>
#include <set>

#include "base_weight.hpp"
#include "checkpoint.hpp"
#include "layer_factors.hpp"
#include "progress.hpp"
#include "stop.hpp"

namespace lorma_tool {
namespace {

using lorma::Index;
using lorma::Matrix;
using lorma::OutputSlice;
using lorma::StoredTensor;

/// Whether the last part of a module's name is one that embeddings have.
bool is_embedding(const std::string& tensor) {
  std::string module = tensor;
  if (module.ends_with(".weight")) module.resize(module.size() - 7);
  const std::string last = module.substr(module.rfind('.') + 1);
  static const std::set<std::string> names = {"wte",      "wpe",          "shared",         "embed",
                                              "embed_in", "embed_tokens", "embed_positions"};
  return names.contains(last) || last.ends_with("embedding") || last.ends_with("embeddings");
}

/// Why a changed tensor cannot get a multiplier; empty when it can.
std::string obstacle(const StoredTensor& tensor) {
  if (!has_arithmetic(tensor.dtype)) return "its type has no arithmetic";
  if (tensor.shape.size() != 2) return "it is no matrix";
  return is_embedding(tensor.name) ? "it is an embedding" : "";
}

std::optional<std::regex> expression(const std::string& text) {
  if (text.empty()) return std::nullopt;
  try {
    return std::regex(text);
  } catch (const std::regex_error&) {
    throw lorma::Error("expected a regular expression, got " + lorma::detail::in_quotes(text));
  }
}

lorma::analysis::Truncation truncation(const ExtractOptions& options) {
  const bool by_rank = options.energy >= 1.0 && options.tolerance <= 0.0;
  return {.rank = options.rank > 0 ? Index(options.rank)
                  : by_rank        ? 16
                                   : 0,
          .energy = options.energy,
          .tolerance = options.tolerance};
}

/// Where a changed weight lies in both checkpoints.
struct Pair {
  const lorma::SafetensorsFile* base;
  const StoredTensor* before;
  const lorma::SafetensorsFile* tuned;
  const StoredTensor* after;
};

/// Calls f with W0 and W of the same slice, out x in.
template <typename F>
void with_weights(const Pair& pair, const OutputSlice& outputs, bool in_out, F&& f) {
  const auto layout = in_out ? lorma::WeightLayout::in_out : lorma::WeightLayout::out_in;
  const Matrix<double> W = base_weight(*pair.tuned, *pair.after, layout, outputs);
  with_base_weight(*pair.base, *pair.before, layout, outputs, [&](const auto& W0) { f(W0, W); });
}

template <typename Found>
void put_verdict(const Found& found, Index needed, LayerReport& line) {
  line.base_rank = found.base_rank;
  line.needed_rank = needed;
  line.unreachable = found.unreachable;
}

lorma::LormaLayer multiplicative(const Pair& pair, const OutputSlice& outputs,
                                 const ExtractOptions& options, AdapterReport& report) {
  lorma::LormaLayer layer;
  layer.weight = pair.before->name;
  layer.outputs = outputs;
  layer.side = options.side;
  layer.layout = options.in_out ? lorma::WeightLayout::in_out : lorma::WeightLayout::out_in;
  layer.fingerprint = lorma::fingerprint(*pair.before);
  with_weights(pair, outputs, options.in_out, [&](const auto& W0, const auto& W) {
    const bool pre = options.side == "Pre";
    const auto found = pre ? lorma::analysis::extract<lorma::Pre>(W0, W, truncation(options))
                           : lorma::analysis::extract<lorma::Post>(W0, W, truncation(options));
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

lorma::LoraLayer additive(const Pair& pair, const ExtractOptions& options, AdapterReport& report) {
  lorma::LoraLayer layer;
  layer.module = options.prefix + lorma::peft_module(pair.before->name);
  with_weights(pair, {}, options.in_out, [&](const auto& W0, const auto& W) {
    const Matrix<double> change = W - W0.template cast<double>();
    AdditiveLayer best = best_additive(change, truncation(options));
    report.layers.push_back({pair.before->name, best.A.rows(), best.residual});
    layer.B = std::move(best.B);
    layer.A = std::move(best.A);
    // What a multiplier would reach, for comparison.
    const bool pre = options.side == "Pre";
    const auto reach = pre ? lorma::analysis::reach<lorma::Pre>(W0, W)
                           : lorma::analysis::reach<lorma::Post>(W0, W);
    put_verdict(reach, pre ? W0.cols() : W0.rows(), report.layers.back());
  });
  return layer;
}

/// Equal parts of the outputs of a fused weight, or the whole of another one.
std::vector<OutputSlice> slices_of(const StoredTensor& tensor, const ExtractOptions& options,
                                   const std::optional<std::regex>& fused) {
  if (!fused || options.to == "lora" || !std::regex_search(tensor.name, *fused)) return {{}};
  const auto outputs = static_cast<Index>(tensor.shape[options.in_out ? 1 : 0]);
  const Index count = outputs / options.slices;
  if (count < 1 || count * options.slices != outputs) {
    throw lorma::Error(lorma::detail::in_quotes(tensor.name) + ": expected outputs in " +
                       std::to_string(options.slices) + " equal slices, got " +
                       std::to_string(outputs));
  }
  std::vector<OutputSlice> slices;
  for (Index i = 0; i < options.slices; ++i) slices.push_back({i * count, count});
  return slices;
}

/// The tensors that changed and can be adapted; the others that changed are named in `made`.
std::vector<Pair> changed_weights(const Checkpoint& base, const Checkpoint& tuned,
                                  const ExtractOptions& options, AdapterReport& report) {
  const std::optional<std::regex> match = expression(options.match);
  std::vector<Pair> pairs;
  Progress progress(options.progress, base.bytes(), Progress::Unit::bytes);
  for (const auto& file : base.files()) {
    for (const StoredTensor& before : file->tensors()) {
      progress.done(static_cast<double>(before.bytes.size()), "comparing " + before.name);
      if (match && !std::regex_search(before.name, *match)) continue;
      const Checkpoint::Found after = tuned.find(before.name);
      const std::string name = lorma::detail::in_quotes(before.name);
      if (after.file == nullptr) {
        report.remarks.push_back("left alone: " + name +
                                 ": the tuned checkpoint has no such tensor");
        continue;
      }
      if (before.shape != after.tensor->shape) {
        throw lorma::FormatError(name + ": expected one shape in both, got " +
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

}  // namespace

AdapterReport extract(const ExtractOptions& options) {
  require_absent(options.out);
  const Checkpoint base(options.base);
  const Checkpoint tuned(options.tuned);
  const std::optional<std::regex> fused = expression(options.fused);
  AdapterReport report;
  const std::vector<Pair> pairs = changed_weights(base, tuned, options, report);
  double total = 0.0;
  for (const Pair& pair : pairs) total += static_cast<double>(pair.before->bytes.size());
  Progress progress(options.progress, total, Progress::Unit::bytes);
  lorma::LormaAdapter adapter;
  lorma::PeftLora lora;
  lora.fan_in_fan_out = options.in_out;
  for (const Pair& pair : pairs) {
    for (const OutputSlice& outputs : slices_of(*pair.before, options, fused)) {
      if (options.to == "lora") {
        lora.layers.push_back(additive(pair, options, report));
      } else {
        adapter.layers.push_back(multiplicative(pair, outputs, options, report));
      }
    }
    progress.done(static_cast<double>(pair.before->bytes.size()), pair.before->name);
  }
  if (options.dry_run) return report;
  lorma::make_portable(lora);
  const Writing writing;
  if (options.to == "lora") {
    lorma::write_peft_lora(options.out, lora);
  } else {
    lorma::write_lorma_adapter(options.out, adapter);
  }
  return report;
}

}  // namespace lorma_tool
