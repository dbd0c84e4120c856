// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_CONVERT_HPP
#define LORMA_MODEL_CONVERT_HPP

/// From LoRMA adapters to LoRA adapters, and from PEFT's adapters to LoRMA, over the base of both.

#include <string>

#include "lorma/io/paths.hpp"
#include "lorma/model/adapter_report.hpp"
#include "lorma/model/apply.hpp"
#include "lorma/model/base_weight.hpp"
#include "lorma/model/fit.hpp"
#include "lorma/model/layer_factors.hpp"
#include "lorma/model/monitor.hpp"
#include "lorma/model/read_changes.hpp"
#include "lorma/model/request.hpp"

namespace lorma::inline LORMA_ABI::model {

struct ConvertOptions {
  std::filesystem::path adapter;
  std::filesystem::path base;
  std::filesystem::path out;  ///< a directory that does not exist
  std::string to;             ///< "lora" or "lorma"
  std::string side;           ///< of LoRMA+; empty: for each weight the one that misses less
  std::int64_t rank = 0;      ///< of LoRA, at most; 0: the adapter's own, or any with `energy`
  double energy = 1.0;        ///< of LoRA: share of the squared change that is enough
  std::string prefix;         ///< put before the modules of a LoRA adapter to be made
  FitOptions fit;
  bool any_base = false;  ///< take a base with another fingerprint
  bool dry_run = false;   ///< compute and report, write nothing
};

/// LoRMA+ becomes LoRA exactly, unless a rank or an energy is asked for; LoRMA_pi and None by the
/// best approximation of their change; slices of one weight become one LoRA layer of the sum of
/// their ranks. LoRA becomes LoRMA+ as far as the weight allows, by least squares; (IA)^3, RoAd,
/// HRA and DEFT with `para` become LoRMA by their definitions. Biases and whole tensors are named
/// in the remarks and left alone. Memory: a few copies of one weight in double, and the factors.
/// Throws Error.
LORMA_MODEL_FUNCTION AdapterReport convert(const ConvertOptions& options,
                                           const Monitor& monitor = {});

#ifdef LORMA_MODEL_BODIES
namespace detail {

/// The additive change of one layer, W0 d x k.
inline AdditiveLayer additive_part(const LormaLayer& layer, const Matrix<double>& W0,
                                   const ConvertOptions& options) {
  const bool as_it_is = options.rank == 0 && options.energy >= 1.0;
  if (as_it_is && is_plus(layer)) {
    const PlusFactors f = plus_factors_of(layer);
    const AdditiveFactors exact =
        layer.side == "Pre" ? to_additive<Pre>(f, W0) : to_additive<Post>(f, W0);
    return rounded(exact, exact.B * exact.A);
  }
  Matrix<double> change = W0;
  multiply<double>(layer, {}, view_of(change));
  change -= W0;
  return best_additive(
      change, {.rank = as_it_is ? layer.B.cols() : Index(options.rank), .energy = options.energy});
}

/// Layers of one weight beside each other: B is block diagonal, A is stacked.
inline LoraLayer additive(const Target& target, const ConvertOptions& options,
                          AdapterReport& report) {
  const Change& change = *target.change;
  const StoredTensor& tensor = *target.tensor;
  if (!options.any_base) check_fingerprint(change, tensor);
  LoraLayer result;
  result.module = options.prefix + peft_module(change.tensor);
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

inline void leave_alone(const Change& change, AdapterReport& report) {
  report.remarks.push_back("left alone, as the result holds no whole tensors and no biases: " +
                           lorma::detail::in_quotes(change.tensor) + " (" + change.text() + ')');
}

/// base_model_name_or_path of a directory; empty where there is none.
inline std::string base_model_of(const std::filesystem::path& adapter) {
  if (!lorma::detail::path_is_directory(adapter)) return "";
  const std::filesystem::path config = adapter / adapter_config_name;
  const auto json = lorma::detail::read_json_object(config);
  return lorma::detail::JsonFields(config, json.value).text("base_model_name_or_path", "");
}

inline void to_lora(const ConvertOptions& options, const Checkpoint& base, const Monitor& monitor,
                    AdapterReport& report) {
  if (!is_lorma_adapter(options.adapter)) {
    throw FormatError(lorma::detail::in_quotes(options.adapter.string(), 1024) +
                      ": expected a LoRMA adapter to make LoRA of, got another peft_type");
  }
  std::vector<Change> changes = read_changes(options.adapter, report.remarks);
  for (const Change& change : changes) {
    if (change.is_whole() || change.layout == changes.front().layout) continue;
    throw FormatError(
        "PEFT has one 'fan_in_fan_out' per adapter: expected one layout for all weights, got both");
  }
  const std::vector<Target> targets = fit(base, changes, options.fit, report.remarks);
  PeftLora lora;
  lora.base_model = base_model_of(options.adapter);
  lora.fan_in_fan_out = !changes.empty() && changes.front().is_turned();
  Steps steps(monitor, static_cast<double>(targets.size()), false);
  for (const Target& target : targets) {
    if (target.change->saved) {
      leave_alone(*target.change, report);
      continue;
    }
    lora.layers.push_back(additive(target, options, report));
    steps.done(1.0, target.tensor->name);
    monitor.check();
  }
  make_portable(lora);
  if (!options.dry_run) {
    const Writing writing(monitor);
    write_peft_lora(options.out, lora);
  }
}

/// The LoRMA+ layer nearest to a LoRA layer of W0 (d x k), on `side`, or if that is empty on the
/// one that misses less. The side that reaches everything where W0 has full rank is tried first,
/// and the other only if it misses something.
template <typename S>
LormaLayer nearest_multiplier(const LoraLayer& lora, const Matrix<S>& W0, const std::string& side,
                              double& residual) {
  const PlusFactors f = additive_factors_of(lora);
  const auto on = [&](bool pre, double& missed) {
    const auto factors =
        pre ? to_multiplicative<Pre>(f.B, f.A, W0) : to_multiplicative<Post>(f.B, f.A, W0);
    LormaLayer layer;
    layer.side = pre ? "Pre" : "Post";
    layer.alpha = static_cast<double>(f.A.rows());
    layer.B = factors.B.template cast<float>();
    layer.A = factors.A.template cast<float>();
    missed = residual_of(layer, W0.template cast<double>(), f.B * f.A);
    return layer;
  };
  const bool natural = side.empty() ? W0.rows() >= W0.cols() : side == "Pre";
  LormaLayer layer = on(natural, residual);
  if (!side.empty() || residual <= reached) return layer;
  double other = 0.0;
  LormaLayer turned = on(!natural, other);
  if (other >= residual) return layer;
  residual = other;
  return turned;
}

/// The multipliers that another method's change is by definition, or the one nearest to LoRA's.
inline std::vector<LormaLayer> multiplicative(const Target& target, const ConvertOptions& options,
                                              AdapterReport& report) {
  const Change& change = *target.change;
  const std::string& weight = target.tensor->name;
  if (target.tensor->shape.size() != 2 || (change.add && !change.add->is_plain()) ||
      (change.add && !change.multiply.empty())) {
    throw FormatError(lorma::detail::in_quotes(weight) +
                      ": expected a change of a matrix that a multiplier can make, got " +
                      change.text() + " of shape " +
                      lorma::detail::shape_text(target.tensor->shape));
  }
  if (!change.add) {
    Matrix<double> W0 = base_weight(*target.file, *target.tensor, change.layout, {});
    Matrix<double> wanted = W0;
    change.definition(wanted);
    wanted -= W0;
    Matrix<double> got = W0;
    Index rank = 0;
    for (const LormaLayer& layer : change.multiply) {
      multiply<double>(layer, {}, view_of(got));
      rank += layer.A.rows();
    }
    const double size = wanted.stableNorm();
    const double missed = (got - W0 - wanted).stableNorm();
    report.layers.push_back({weight, rank, size == 0.0 ? 0.0 : missed / size});
    return change.multiply;
  }
  LormaLayer result;
  with_base_weight(*target.file, *target.tensor, change.layout, {}, [&](const auto& W0) {
    LayerReport line{weight, change.add->A.rows()};
    result = nearest_multiplier(*change.add, W0, options.side, line.residual);
    line.side = result.side;
    report.layers.push_back(std::move(line));
  });
  return {std::move(result)};
}

inline void to_lorma(const ConvertOptions& options, const Checkpoint& base, const Monitor& monitor,
                     AdapterReport& report) {
  if (is_lorma_adapter(options.adapter)) {
    throw FormatError(lorma::detail::in_quotes(options.adapter.string(), 1024) +
                      ": expected a LoRA adapter to make LoRMA of, got peft_type LORMA");
  }
  std::vector<Change> changes = read_changes(options.adapter, report.remarks);
  const std::vector<Target> targets = fit(base, changes, options.fit, report.remarks);
  LormaAdapter adapter;
  adapter.base_model = base_model_of(options.adapter);
  Steps steps(monitor, static_cast<double>(targets.size()), false);
  for (const Target& target : targets) {
    const Change& change = *target.change;
    if (change.saved || change.form == WeightForm::vector) {
      detail::leave_alone(change, report);
      continue;
    }
    for (LormaLayer& layer : multiplicative(target, options, report)) {
      layer.weight = target.tensor->name;
      layer.layout = change.layout;
      layer.fingerprint = fingerprint(*target.tensor);
      adapter.layers.push_back(std::move(layer));
    }
    steps.done(1.0, target.tensor->name);
    monitor.check();
  }
  if (!options.dry_run) {
    const Writing writing(monitor);
    write_lorma_adapter(options.out, adapter);
  }
}

}  // namespace detail

LORMA_MODEL_FUNCTION AdapterReport convert(const ConvertOptions& options, const Monitor& monitor) {
  require_known("--to", options.to, kinds_to_make);
  if (!options.side.empty()) require_known("--side", options.side, names_in<AllSides>);
  AdapterReport report;
  if (!options.dry_run) check_adapter_output(options.out, monitor, report.remarks);
  const Checkpoint base(options.base);
  if (options.to == "lora") {
    detail::to_lora(options, base, monitor, report);
  } else {
    detail::to_lorma(options, base, monitor, report);
  }
  warn_of_residuals(report);
  return report;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
