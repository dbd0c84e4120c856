// SPDX-License-Identifier: Apache-2.0
#include "convert.hpp"

#include <lorma/adapter/by_name.hpp>
#include <lorma/analysis/truncated_svd.hpp>
#include <lorma/convert/lora_exchange.hpp>

#include "base_weight.hpp"
#include "checkpoint.hpp"
#include "progress.hpp"
#include "stop.hpp"

namespace lorma_tool {
namespace {

using lorma::Index;
using lorma::LoraLayer;
using lorma::LormaLayer;
using lorma::Matrix;

/// The additive change of one layer, W0 d x k, and what its factors miss.
struct Additive {
  Matrix<float> B, A;
  double residual = 0.0;
};

template <typename S>
Additive additive_part(const LormaLayer& layer, const Matrix<S>& W0,
                       const ConvertOptions& options) {
  Additive result;
  const Matrix<double> old = W0.template cast<double>();
  lorma::visit_adapter<double>({.inflation = layer.inflation, .side = layer.side}, [&](auto type) {
    using Adapter = typename decltype(type)::type;
    Adapter adapter(layer.B.rows(), layer.B.cols(), layer.alpha);
    adapter.set_factors(layer.B.cast<double>(), layer.A.cast<double>());
    const bool as_it_is = options.rank == 0 && options.energy >= 1.0;
    if constexpr (std::is_same_v<typename Adapter::Inflation, lorma::Identity>) {
      if (as_it_is) {
        const auto exact = lorma::to_additive<typename Adapter::Side>(adapter.factors(), old);
        result.B = exact.B.template cast<float>();
        result.A = exact.A.template cast<float>();
        result.residual = residual_of(exact.B * exact.A, result.B, result.A);
        return;
      }
    }
    const Matrix<double> change = adapter.merge(old) - old;
    const auto svd = lorma::analysis::truncated_svd(
        change,
        {.rank = as_it_is ? layer.B.cols() : Index(options.rank), .energy = options.energy});
    const Eigen::VectorXd root = svd.sigma.cwiseSqrt();
    const Index r = std::max<Index>(1, root.size());  // a LoRA adapter has a rank
    result.B = Matrix<float>::Zero(old.rows(), r);
    result.A = Matrix<float>::Zero(r, old.cols());
    result.B.leftCols(root.size()) = (svd.U * root.asDiagonal()).template cast<float>();
    result.A.topRows(root.size()) = (root.asDiagonal() * svd.V.transpose()).template cast<float>();
    result.residual = residual_of(change, result.B, result.A);
  });
  return result;
}

/// Layers of one weight beside each other: B is block diagonal, A is stacked.
LoraLayer additive(const Target& target, const ConvertOptions& options, MadeAdapter& made) {
  const Change& change = *target.change;
  const lorma::StoredTensor& tensor = *target.tensor;
  check_fingerprint(change, tensor, options.any_base);
  LoraLayer result;
  result.module = options.prefix + lorma::peft_module(change.tensor);
  result.B.resize(static_cast<Index>(tensor.shape[change.is_turned() ? 1 : 0]), 0);
  result.A.resize(0, static_cast<Index>(tensor.shape[change.is_turned() ? 0 : 1]));
  for (const LormaLayer& layer : change.multiply) {
    const Additive part =
        with_base_weight(*target.file, tensor, change.layout, layer.outputs,
                         [&](const auto& W0) { return additive_part(layer, W0, options); });
    const Index before = result.A.rows();
    const Index r = part.A.rows();
    result.B.conservativeResize(Eigen::NoChange, before + r);
    result.B.rightCols(r).setZero();
    result.B.block(layer.outputs.first, before, part.B.rows(), r) = part.B;
    result.A.conservativeResize(before + r, Eigen::NoChange);
    result.A.bottomRows(r) = part.A;
    made.layers.push_back({layer.key(), r, part.residual});
  }
  return result;
}

MadeAdapter to_lora(const ConvertOptions& options, const Checkpoint& base) {
  if (!is_lorma_adapter(options.adapter)) {
    throw lorma::FormatError(lorma::detail::in_quotes(options.adapter.string(), 1024) +
                             ": expected a LoRMA adapter to make LoRA of, got another peft_type");
  }
  MadeAdapter made;
  std::vector<Change> changes = read_changes(options.adapter, made.remarks);
  for (const Change& change : changes) {
    if (change.layout == changes.front().layout) continue;
    throw lorma::FormatError(
        "PEFT has one 'fan_in_fan_out' an adapter: expected one layout for all weights, got both");
  }
  const std::vector<Target> targets = fit(base, changes, LoraLayout::by_shape, made.remarks);
  lorma::PeftLora lora;
  lora.base_model = lorma::read_lorma_adapter(options.adapter).base_model;
  lora.fan_in_fan_out = !changes.empty() && changes.front().is_turned();
  Progress progress(options.progress, static_cast<double>(targets.size()));
  for (const Target& target : targets) {
    lora.layers.push_back(additive(target, options, made));
    progress.done(1.0, target.tensor->name);
  }
  lorma::make_portable(lora);
  if (!options.dry_run) {
    const Writing writing;
    lorma::write_peft_lora(options.out, lora);
  }
  return made;
}

MadeAdapter to_lorma(const ConvertOptions& options, const Checkpoint& base) {
  if (is_lorma_adapter(options.adapter)) {
    throw lorma::FormatError(lorma::detail::in_quotes(options.adapter.string(), 1024) +
                             ": expected a LoRA adapter to make LoRMA of, got peft_type LORMA");
  }
  MadeAdapter made;
  std::vector<Change> changes = read_changes(options.adapter, made.remarks);
  const std::vector<Target> targets = fit(base, changes, options.lora_layout, made.remarks);
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
      residual = multiplier_residual(B * A, W0, result);
    });
    made.layers.push_back({result.weight, A.rows(), residual});
    adapter.layers.push_back(std::move(result));
    progress.done(1.0, target.tensor->name);
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
