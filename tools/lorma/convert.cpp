// SPDX-License-Identifier: Apache-2.0
#include "convert.hpp"

#include "base_weight.hpp"
#include "checkpoint.hpp"
#include "layer_factors.hpp"
#include "progress.hpp"
#include "stop.hpp"

namespace lorma_tool {
namespace {

using lorma::Index;
using lorma::LoraLayer;
using lorma::LormaLayer;
using lorma::Matrix;

/// The additive change of one layer, W0 d x k.
AdditiveLayer additive_part(const LormaLayer& layer, const Matrix<double>& W0,
                            const ConvertOptions& options) {
  const bool as_it_is = options.rank == 0 && options.energy >= 1.0;
  if (as_it_is && is_plus(layer)) {
    const lorma::PlusFactors f = plus_factors_of(layer);
    return rounded(layer.side == "Pre" ? lorma::to_additive<lorma::Pre>(f, W0)
                                       : lorma::to_additive<lorma::Post>(f, W0));
  }
  Matrix<double> change = W0;
  multiply<double>(layer, {}, lorma::view_of(change));
  change -= W0;
  return best_additive(
      change, {.rank = as_it_is ? layer.B.cols() : Index(options.rank), .energy = options.energy});
}

/// Layers of one weight beside each other: B is block diagonal, A is stacked.
LoraLayer additive(const Target& target, const ConvertOptions& options, AdapterReport& report) {
  const Change& change = *target.change;
  const lorma::StoredTensor& tensor = *target.tensor;
  check_fingerprint(change, tensor, options.any_base);
  LoraLayer result;
  result.module = options.prefix + lorma::peft_module(change.tensor);
  result.B.resize(static_cast<Index>(tensor.shape[change.is_turned() ? 1 : 0]), 0);
  result.A.resize(0, static_cast<Index>(tensor.shape[change.is_turned() ? 0 : 1]));
  for (const LormaLayer& layer : change.multiply) {
    const AdditiveLayer part = additive_part(
        layer, base_weight(*target.file, tensor, change.layout, layer.outputs), options);
    const Index before = result.A.rows();
    const Index r = part.A.rows();
    result.B.conservativeResize(Eigen::NoChange, before + r);
    result.B.rightCols(r).setZero();
    result.B.block(layer.outputs.first, before, part.B.rows(), r) = part.B;
    result.A.conservativeResize(before + r, Eigen::NoChange);
    result.A.bottomRows(r) = part.A;
    report.layers.push_back({layer.key(), r, part.residual});
  }
  return result;
}

AdapterReport to_lora(const ConvertOptions& options, const Checkpoint& base) {
  if (!is_lorma_adapter(options.adapter)) {
    throw lorma::FormatError(lorma::detail::in_quotes(options.adapter.string(), 1024) +
                             ": expected a LoRMA adapter to make LoRA of, got another peft_type");
  }
  AdapterReport report;
  std::vector<Change> changes = read_changes(options.adapter, report.remarks);
  for (const Change& change : changes) {
    if (change.layout == changes.front().layout) continue;
    throw lorma::FormatError(
        "PEFT has one 'fan_in_fan_out' an adapter: expected one layout for all weights, got both");
  }
  const std::vector<Target> targets = fit(base, changes, LoraLayout::by_shape, report.remarks);
  lorma::PeftLora lora;
  lora.base_model = lorma::read_lorma_adapter(options.adapter).base_model;
  lora.fan_in_fan_out = !changes.empty() && changes.front().is_turned();
  Progress progress(options.progress, static_cast<double>(targets.size()));
  for (const Target& target : targets) {
    lora.layers.push_back(additive(target, options, report));
    progress.done(1.0, target.tensor->name);
  }
  lorma::make_portable(lora);
  if (!options.dry_run) {
    const Writing writing;
    lorma::write_peft_lora(options.out, lora);
  }
  return report;
}

AdapterReport to_lorma(const ConvertOptions& options, const Checkpoint& base) {
  if (is_lorma_adapter(options.adapter)) {
    throw lorma::FormatError(lorma::detail::in_quotes(options.adapter.string(), 1024) +
                             ": expected a LoRA adapter to make LoRMA of, got peft_type LORMA");
  }
  AdapterReport report;
  std::vector<Change> changes = read_changes(options.adapter, report.remarks);
  const std::vector<Target> targets = fit(base, changes, options.lora_layout, report.remarks);
  lorma::LormaAdapter adapter;
  adapter.base_model = lorma::read_peft_lora(options.adapter).base_model;
  Progress progress(options.progress, static_cast<double>(targets.size()));
  for (const Target& target : targets) {
    const LoraLayer& layer = *target.change->add;
    LormaLayer result;
    result.weight = target.tensor->name;
    result.side = options.side;
    result.layout = target.change->layout;
    result.alpha = static_cast<double>(layer.A.rows());
    result.fingerprint = lorma::fingerprint(*target.tensor);
    const Matrix<double> B = layer.scale * layer.B.cast<double>();
    const Matrix<double> A = layer.A.cast<double>();
    double residual = 0.0;
    with_base_weight(*target.file, *target.tensor, result.layout, {}, [&](const auto& W0) {
      const bool pre = options.side == "Pre";
      const auto factors = pre ? lorma::to_multiplicative<lorma::Pre>(B, A, W0)
                               : lorma::to_multiplicative<lorma::Post>(B, A, W0);
      result.B = factors.B.template cast<float>();
      result.A = factors.A.template cast<float>();
      residual = residual_of(result, W0.template cast<double>(), B * A);
    });
    report.layers.push_back({result.weight, A.rows(), residual});
    adapter.layers.push_back(std::move(result));
    progress.done(1.0, target.tensor->name);
  }
  if (!options.dry_run) {
    const Writing writing;
    lorma::write_lorma_adapter(options.out, adapter);
  }
  return report;
}

}  // namespace

AdapterReport convert(const ConvertOptions& options) {
  require_absent(options.out);
  const Checkpoint base(options.base);
  return options.to == "lora" ? to_lora(options, base) : to_lorma(options, base);
}

}  // namespace lorma_tool
