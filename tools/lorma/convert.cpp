// SPDX-License-Identifier: Apache-2.0
#include "convert.hpp"

#include <lorma/adapter/by_name.hpp>
#include <lorma/analysis/truncated_svd.hpp>
#include <lorma/convert/lora_exchange.hpp>

#include "base_weight.hpp"
#include "changes.hpp"
#include "checkpoint.hpp"
#include "progress.hpp"
#include "stop.hpp"

namespace lorma_tool {
namespace {

using lorma::Index;
using lorma::LoraLayer;
using lorma::LormaLayer;
using lorma::Matrix;
using lorma::WeightLayout;

Checkpoint::Found find_weight(const Checkpoint& base, const std::string& name) {
  const Checkpoint::Found found = base.find(name);
  if (found.file != nullptr) return found;
  throw lorma::FormatError("the base has no tensor " + lorma::detail::in_quotes(name));
}

/// W0 + B A for one layer, and the residual.
struct Additive {
  Matrix<double> B, A;
  double residual = 0.0;
};

template <typename S>
Additive additive(const LormaLayer& layer, const Matrix<S>& W0, const ConvertOptions& options) {
  Additive result;
  lorma::visit_adapter<double>({.inflation = layer.inflation, .side = layer.side}, [&](auto type) {
    using Adapter = typename decltype(type)::type;
    Adapter adapter(layer.B.rows(), layer.B.cols(), layer.alpha);
    adapter.set_factors(layer.B.cast<double>(), layer.A.cast<double>());
    const bool as_it_is = options.rank == 0 && options.energy >= 1.0;
    if constexpr (std::is_same_v<typename Adapter::Inflation, lorma::Identity>) {
      if (as_it_is) {
        auto exact = lorma::to_additive<typename Adapter::Side>(adapter.factors(), W0);
        result = {std::move(exact.B), std::move(exact.A), 0.0};
        return;
      }
    }
    const Matrix<double> old = W0.template cast<double>();
    const Matrix<double> change = adapter.merge(old) - old;
    auto svd = lorma::analysis::truncated_svd(
        change,
        {.rank = as_it_is ? layer.B.cols() : Index(options.rank), .energy = options.energy});
    const Eigen::VectorXd root = svd.sigma.cwiseSqrt();
    result = {svd.U * root.asDiagonal(), root.asDiagonal() * svd.V.transpose(), svd.residual};
    if (root.size() == 0) {  // no change at all; a LoRA adapter has a rank
      result.B = Matrix<double>::Zero(W0.rows(), 1);
      result.A = Matrix<double>::Zero(1, W0.cols());
    }
  });
  return result;
}

/// Layers of one weight beside each other: B is block diagonal, A is stacked.
LoraLayer additive(const Change& change, const Checkpoint& base, const ConvertOptions& options,
                   MadeAdapter& made) {
  const Checkpoint::Found found = find_weight(base, change.tensor);
  check_fingerprint(change, *found.tensor, options.any_base);
  if (const std::string why = misfit(change, *found.tensor); !why.empty()) {
    throw lorma::FormatError(why);
  }
  LoraLayer result;
  result.module = lorma::peft_module(change.tensor);
  const auto outputs = static_cast<Index>(found.tensor->shape[change.is_turned() ? 1 : 0]);
  const auto inputs = static_cast<Index>(found.tensor->shape[change.is_turned() ? 0 : 1]);
  result.B.resize(outputs, 0);
  result.A.resize(0, inputs);
  for (const LormaLayer& layer : change.multiply) {
    const Additive part =
        with_base_weight(*found.file, *found.tensor, change.layout, layer.outputs,
                         [&](const auto& W0) { return additive(layer, W0, options); });
    const Index before = result.A.rows();
    const Index r = part.A.rows();
    result.B.conservativeResize(Eigen::NoChange, before + r);
    result.B.rightCols(r).setZero();
    result.B.block(layer.outputs.first, before, part.B.rows(), r) = part.B.cast<float>();
    result.A.conservativeResize(before + r, Eigen::NoChange);
    result.A.bottomRows(r) = part.A.cast<float>();
    made.layers.push_back({layer.key(), r, part.residual});
  }
  return result;
}

MadeAdapter to_lora(const ConvertOptions& options, const Checkpoint& base) {
  if (!is_lorma_adapter(options.adapter)) {
    throw lorma::FormatError(lorma::detail::in_quotes(options.adapter.string(), 1024) +
                             ": expected a LoRMA adapter to make LoRA of, got another peft_type");
  }
  const std::vector<Change> changes = read_changes(options.adapter);
  for (const Change& change : changes) {
    if (change.layout == changes.front().layout) continue;
    throw lorma::FormatError(
        "PEFT has one 'fan_in_fan_out' an adapter: expected one layout for all weights, got both");
  }
  MadeAdapter made;
  lorma::PeftLora lora;
  lora.base_model = lorma::read_lorma_adapter(options.adapter).base_model;
  lora.fan_in_fan_out = !changes.empty() && changes.front().is_turned();
  Progress progress(options.progress, static_cast<double>(changes.size()));
  for (const Change& change : changes) {
    lora.layers.push_back(additive(change, base, options, made));
    progress.done(1.0, change.tensor);
  }
  lorma::make_portable(lora);
  if (!options.dry_run) {
    const Writing writing;
    lorma::write_peft_lora(options.out, lora);
  }
  return made;
}

MadeAdapter to_lorma(const ConvertOptions& options, const Checkpoint& base) {
  const lorma::PeftLora from = lorma::read_peft_lora(options.adapter);
  lorma::LormaAdapter adapter;
  adapter.base_model = from.base_model;
  MadeAdapter made;
  Progress progress(options.progress, static_cast<double>(from.layers.size()));
  for (const LoraLayer& layer : from.layers) {
    LormaLayer result;
    result.weight = layer.module + ".weight";
    result.side = options.side;
    result.layout = from.fan_in_fan_out ? WeightLayout::in_out : WeightLayout::out_in;
    const Checkpoint::Found found = find_weight(base, result.weight);
    const Matrix<double> B = layer.scale * layer.B.cast<double>();
    const Matrix<double> A = layer.A.cast<double>();
    const auto factors =
        with_base_weight(*found.file, *found.tensor, result.layout, {}, [&](const auto& W0) {
          return options.side == "Pre" ? lorma::to_multiplicative<lorma::Pre>(B, A, W0)
                                       : lorma::to_multiplicative<lorma::Post>(B, A, W0);
        });
    result.B = factors.B.cast<float>();
    result.A = factors.A.cast<float>();
    result.alpha = static_cast<double>(A.rows());
    result.fingerprint = lorma::fingerprint(*found.tensor);
    made.layers.push_back({result.weight, A.rows(), factors.residual});
    adapter.layers.push_back(std::move(result));
    progress.done(1.0, layer.module);
  }
  if (!options.dry_run) {
    const Writing writing;
    lorma::write_lorma_adapter(options.out, adapter);
  }
  return made;
}

}  // namespace

MadeAdapter convert(const ConvertOptions& options) {
  require_absent(options.out);
  const Checkpoint base(options.base);
  return options.to == "lora" ? to_lora(options, base) : to_lorma(options, base);
}

}  // namespace lorma_tool
