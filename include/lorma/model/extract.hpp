// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_EXTRACT_HPP
#define LORMA_MODEL_EXTRACT_HPP

/// The adapter whose merge brings a checkpoint nearest to a tuned one.

#include <algorithm>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lorma/analysis/extract.hpp"
#include "lorma/analysis/extract_by_panels.hpp"
#include "lorma/model/adapter_report.hpp"
#include "lorma/model/base_weight.hpp"
#include "lorma/model/checkpoint.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/layer_factors.hpp"
#include "lorma/model/monitor.hpp"
#include "lorma/model/peft_lora.hpp"
#include "lorma/model/request.hpp"
#include "lorma/model/tensor_panels.hpp"
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
  std::string side;           ///< "Pre" or "Post"; empty: for each weight the one that reaches more
  std::string prefix;         ///< put before the modules of a LoRA adapter
  std::string match;          ///< only tensors in whose name this expression is found
  bool in_out = false;        ///< weights are stored in x out (GPT-2's Conv1D)
  std::string fused;          ///< LoRMA+ only: weights in whose name this is found are split ...
  std::int64_t slices = 3;    ///< ... into so many equal parts of their outputs
  bool dry_run = false;       ///< compute and report, write nothing
};

/// Factors for every matrix that changed. What else differs is named and left alone: embeddings,
/// vectors, tensors of another shape or in one of the two alone. Memory, in double: a dozen square
/// matrices of a matrix's smaller side, and five copies of a sketch, of at most a tenth of its size
/// each, where the other side is at least four times as long; else a dozen copies of the matrix.
/// Throws Error, also where nothing that can be adapted changed.
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

/// Why a changed tensor gets no factors; empty when it does.
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

/// A weight and its change, out x in, however much of them is in memory: what multipliers of a side
/// reach, the factors nearest to the change, and what factors as they are written miss of it.
class WeightChange {
 public:
  virtual ~WeightChange() = default;
  virtual Index outputs() const = 0;
  virtual Index inputs() const = 0;
  virtual analysis::Reach reach(bool pre) const = 0;
  virtual analysis::ExtractedFactors factors(bool pre, const analysis::Truncation&) const = 0;
  virtual double residual(const LormaLayer& layer) const = 0;
  virtual AdditiveLayer additive(const analysis::Truncation& wanted) const = 0;
};

/// Both in memory. S: the type by whose precision W0's rank is judged.
template <typename S>
class WeightChangeInMemory : public WeightChange {
 public:
  WeightChangeInMemory(const Matrix<S>& W0, const Matrix<double>& W) : W0_(W0), W_(W) {}

  Index outputs() const override { return W0_.rows(); }
  Index inputs() const override { return W0_.cols(); }
  analysis::Reach reach(bool pre) const override {
    return pre ? analysis::reach<Pre>(W0_, W_) : analysis::reach<Post>(W0_, W_);
  }
  analysis::ExtractedFactors factors(bool pre, const analysis::Truncation& t) const override {
    return pre ? analysis::extract<Pre>(W0_, W_, t) : analysis::extract<Post>(W0_, W_, t);
  }
  double residual(const LormaLayer& layer) const override {
    const Matrix<double> old = W0_.template cast<double>();
    return residual_of(layer, old, W_ - old);
  }
  AdditiveLayer additive(const analysis::Truncation& wanted) const override {
    return best_additive(W_ - W0_.template cast<double>(), wanted);
  }

 private:
  const Matrix<S>& W0_;
  const Matrix<double>& W_;
};

/// One side much longer than the other, read in panels along it.
class WeightChangeInPanels : public WeightChange {
 public:
  WeightChangeInPanels(const ChangedWeight& pair, bool in_out, const Monitor& monitor)
      : before_(*pair.base, *pair.before),
        after_(*pair.tuned, *pair.after),
        is_turned_(before_.is_turned() != in_out),
        found_(before_, after_,
               pair.before->dtype == Dtype::F64 ? lorma::epsilon_of<double>()
                                                : lorma::epsilon_of<float>(),
               [&] { monitor.check(); }) {}

  Index outputs() const override { return is_turned_ ? before_.cols() : before_.rows(); }
  Index inputs() const override { return is_turned_ ? before_.rows() : before_.cols(); }
  analysis::Reach reach(bool pre) const override {
    return pre != is_turned_ ? found_.reach<Pre>() : found_.reach<Post>();
  }
  analysis::ExtractedFactors factors(bool pre, const analysis::Truncation& t) const override {
    auto result = pre != is_turned_ ? found_.factors<Pre>(t) : found_.factors<Post>(t);
    if (is_turned_) turn(result);
    return result;
  }
  double residual(const LormaLayer& layer) const override {
    PlusFactors f = plus_factors_of(layer);
    if (is_turned_) turn(f);
    const bool pre = (layer.side == "Pre") != is_turned_;
    return pre ? found_.residual<Pre>(f.B, f.A) : found_.residual<Post>(f.B, f.A);
  }
  AdditiveLayer additive(const analysis::Truncation& wanted) const override {
    const PlusFactors f = found_.additive(wanted);
    AdditiveLayer layer{f.B.cast<float>(), f.A.cast<float>()};
    layer.residual = found_.additive_residual(layer.B.cast<double>(), layer.A.cast<double>());
    if (is_turned_) {
      const Matrix<float> B = layer.A.transpose();
      layer.A = layer.B.transpose().eval();
      layer.B = B;
    }
    return layer;
  }

 private:
  /// (B A)^T = A^T B^T
  static void turn(PlusFactors& f) {
    f.B.transposeInPlace();
    f.A.transposeInPlace();
    f.B.swap(f.A);
  }

  Panels before_, after_;
  bool is_turned_;  ///< the panels' rows are inputs
  analysis::PanelExtraction<Panels> found_;
};

/// Calls f with the change of a weight or of a slice of it.
template <typename F>
void with_change(const ChangedWeight& pair, const OutputSlice& outputs, bool in_out,
                 const Monitor& monitor, F&& f) {
  constexpr std::uint64_t much = 4;
  const auto [least, most] = std::minmax(pair.before->shape[0], pair.before->shape[1]);
  if (outputs.is_whole() && most >= much * least && least > 0) {
    return f(WeightChangeInPanels(pair, in_out, monitor));
  }
  const auto layout = in_out ? WeightLayout::in_out : WeightLayout::out_in;
  const Matrix<double> W = base_weight(*pair.tuned, *pair.after, layout, outputs);
  with_base_weight(*pair.base, *pair.before, layout, outputs,
                   [&](const auto& W0) { f(WeightChangeInMemory(W0, W)); });
}

/// Whether Pre multiplies; what the sides reach goes to `line`. Where `wanted` is empty, it is the
/// side that reaches everything where W0 has full rank, or, if that misses some of this change, the
/// side that reaches more of it.
inline bool chooses_pre(const WeightChange& change, const std::string& wanted, LayerReport& line) {
  const bool natural = wanted.empty() ? change.outputs() >= change.inputs() : wanted == "Pre";
  const auto put = [&](bool pre, const analysis::Reach& here, double other) {
    line.side = pre ? "Pre" : "Post";
    line.base_rank = here.base_rank;
    line.needed_rank = pre ? change.inputs() : change.outputs();
    line.unreachable = here.unreachable;
    line.unreachable_from_other_side = other;
    return pre;
  };
  const analysis::Reach here = change.reach(natural);
  if (here.unreachable <= reached) return put(natural, here, -1.0);
  const analysis::Reach there = change.reach(!natural);
  const bool is_better = there.unreachable < here.unreachable;
  if (wanted.empty() && is_better) return put(!natural, there, here.unreachable);
  return put(natural, here, there.unreachable);
}

inline LormaLayer multiplicative(const ChangedWeight& pair, const OutputSlice& outputs,
                                 const ExtractOptions& options, const Monitor& monitor,
                                 AdapterReport& report) {
  LormaLayer layer;
  layer.weight = pair.before->name;
  layer.outputs = outputs;
  layer.layout = options.in_out ? WeightLayout::in_out : WeightLayout::out_in;
  layer.fingerprint = fingerprint(*pair.before);
  pair.base->forget(pair.before->bytes);
  with_change(pair, outputs, options.in_out, monitor, [&](const WeightChange& change) {
    LayerReport line{layer.key()};
    const bool pre = chooses_pre(change, options.side, line);
    layer.side = line.side;
    const auto found = change.factors(pre, truncation(options));
    layer.B = found.B.cast<float>();
    layer.A = found.A.cast<float>();
    layer.alpha = static_cast<double>(found.A.rows());
    line.rank = found.A.rows();
    line.residual = change.residual(layer);
    report.layers.push_back(std::move(line));
  });
  return layer;
}

inline LoraLayer additive(const ChangedWeight& pair, const ExtractOptions& options,
                          const Monitor& monitor, AdapterReport& report) {
  LoraLayer layer;
  layer.module = options.prefix + peft_module(pair.before->name);
  with_change(pair, {}, options.in_out, monitor, [&](const WeightChange& change) {
    AdditiveLayer best = change.additive(truncation(options));
    LayerReport line{pair.before->name, best.A.rows(), best.residual};
    layer.B = std::move(best.B);
    layer.A = std::move(best.A);
    chooses_pre(change, options.side, line);  // what a multiplier would reach, for comparison
    report.layers.push_back(std::move(line));
  });
  return layer;
}

/// Equal parts of the outputs of a fused weight, or the whole of another one.
inline std::vector<OutputSlice> slices_of(const StoredTensor& tensor, const ExtractOptions& options,
                                          std::optional<Pattern>& fused) {
  if (!fused || !fused->finds(tensor.name)) return {{}};
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

/// The tensors that changed and can be adapted; all others that differ are named in the report.
inline std::vector<ChangedWeight> changed_weights(const Checkpoint& base, const Checkpoint& tuned,
                                                  const ExtractOptions& options,
                                                  const Monitor& monitor, AdapterReport& report) {
  std::optional<Pattern> match = pattern_of(options.match, "--match");
  const auto leave_alone = [&report](const StoredTensor& tensor, const std::string& why) {
    report.remarks.push_back("left alone: " + lorma::detail::in_quotes(tensor.name) + ": " + why);
  };
  std::vector<ChangedWeight> pairs;
  Steps steps(monitor, base.bytes(), true);
  for (const auto& file : base.files()) {
    for (const StoredTensor& before : file->tensors()) {
      steps.done(static_cast<double>(before.bytes.size()), "comparing " + before.name);
      monitor.check();
      if (match && !match->finds(before.name)) continue;
      const Checkpoint::Found after = tuned.find(before.name);
      if (after.file == nullptr) {
        leave_alone(before, "the tuned checkpoint has no such tensor");
        continue;
      }
      if (before.shape != after.tensor->shape) {
        leave_alone(before, "its shape is " + lorma::detail::shape_text(before.shape) +
                                " in the base and " +
                                lorma::detail::shape_text(after.tensor->shape) +
                                " in the tuned checkpoint");
        continue;
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
        leave_alone(before, "changed, but " + why);
      }
    }
  }
  for (const auto& file : tuned.files()) {
    for (const StoredTensor& after : file->tensors()) {
      if (match && !match->finds(after.name)) continue;
      if (base.find(after.name).file == nullptr) leave_alone(after, "the base has no such tensor");
    }
  }
  return pairs;
}

}  // namespace detail

LORMA_MODEL_FUNCTION AdapterReport extract(const ExtractOptions& options, const Monitor& monitor) {
  require_known("--to", options.to, kinds_to_make);
  if (!options.side.empty()) require_known("--side", options.side, names_in<AllSides>);
  if (options.to == "lora" && !options.fused.empty()) {
    throw Error("--fused: expected --to lorma, as a LoRA adapter has no slices of weights");
  }
  if (options.slices < 1) {
    throw Error("--slices: expected 1 or more, got " + std::to_string(options.slices));
  }
  AdapterReport report;
  if (!options.dry_run) check_adapter_output(options.out, monitor, report.remarks);
  const Checkpoint base(options.base);
  const Checkpoint tuned(options.tuned);
  std::optional<Pattern> fused = pattern_of(options.fused, "--fused");
  const std::vector<detail::ChangedWeight> pairs =
      detail::changed_weights(base, tuned, options, monitor, report);
  if (pairs.empty()) {
    throw Error(
        "expected a weight that changed and can be adapted, got none" +
        (report.remarks.empty() ? std::string() : ": " + lorma::detail::listed(report.remarks)));
  }
  double total = 0.0;
  for (const detail::ChangedWeight& pair : pairs) {
    total += static_cast<double>(pair.before->bytes.size());
  }
  detail::Steps steps(monitor, total, true);
  LormaAdapter adapter;
  PeftLora lora;
  lora.fan_in_fan_out = options.in_out;
  for (const detail::ChangedWeight& pair : pairs) {
    for (const OutputSlice& outputs : detail::slices_of(*pair.before, options, fused)) {
      if (options.to == "lora") {
        lora.layers.push_back(detail::additive(pair, options, monitor, report));
      } else {
        adapter.layers.push_back(detail::multiplicative(pair, outputs, options, monitor, report));
      }
    }
    steps.done(static_cast<double>(pair.before->bytes.size()), pair.before->name);
    monitor.check();
  }
  warn_of_residuals(report);
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
