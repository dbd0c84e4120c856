// SPDX-License-Identifier: Apache-2.0
#include "convert.hpp"

#include <lorma/adapter/by_name.hpp>
#include <lorma/convert/lora_exchange.hpp>
#include <lorma/convert/randomized_svd.hpp>
#include <lorma/io/lorma_directory.hpp>

#include "checkpoint.hpp"

namespace lorma_tool {
namespace {

using lorma::Index;
using lorma::LoraLayer;
using lorma::LormaLayer;
using lorma::Matrix;
using lorma::WeightLayout;

struct BaseWeight {
  Matrix<double> W0;  ///< d x k, out x in
  std::string fingerprint;
};

BaseWeight base_weight(const Checkpoint& base, const std::string& name, WeightLayout layout) {
  const Checkpoint::Found found = base.find(name);
  if (found.file == nullptr) {
    throw lorma::FormatError("the base has no tensor " + lorma::detail::in_quotes(name));
  }
  BaseWeight result{found.file->matrix<double>(name), lorma::fingerprint(*found.tensor)};
  if (layout == WeightLayout::in_out) result.W0.transposeInPlace();
  found.file->forget(found.tensor->bytes);
  return result;
}

std::string module_of(const std::string& weight) {
  constexpr std::string_view suffix = ".weight";
  if (weight.size() > suffix.size() && weight.ends_with(suffix)) {
    return weight.substr(0, weight.size() - suffix.size());
  }
  throw lorma::FormatError(lorma::detail::in_quotes(weight) +
                           ": PEFT adapts modules, so the tensor's name must end in '.weight'");
}

/// The additive change of a layer at a rank.
LoraLayer additive(const LormaLayer& layer, const BaseWeight& base, Index rank, double& residual) {
  LoraLayer result;
  result.module = module_of(layer.weight);
  const Matrix<double> B = layer.B.cast<double>();
  const Matrix<double> A = layer.A.cast<double>();
  lorma::visit_adapter<double>({.inflation = layer.inflation, .side = layer.side}, [&](auto type) {
    using Adapter = typename decltype(type)::type;
    Adapter adapter(B.rows(), B.cols(), layer.alpha);
    adapter.set_factors(B, A);
    if constexpr (std::is_same_v<typename Adapter::Inflation, lorma::Identity>) {
      if (rank == 0 || rank == B.cols()) {
        const auto exact = lorma::to_additive<typename Adapter::Side>(adapter.factors(), base.W0);
        result.B = exact.B.template cast<float>();
        result.A = exact.A.template cast<float>();
        return;
      }
    }
    const Matrix<double> change = adapter.merge(base.W0) - base.W0;
    const auto svd = lorma::randomized_svd(change, rank == 0 ? B.cols() : rank);
    const Eigen::VectorXd root = svd.sigma.cwiseSqrt();
    result.B = (svd.U * root.asDiagonal()).template cast<float>();
    result.A = (root.asDiagonal() * svd.V.transpose()).template cast<float>();
    residual = svd.residual;
  });
  return result;
}

std::vector<ConvertedLayer> to_lora(const ConvertOptions& options, const Checkpoint& base) {
  const lorma::LormaAdapter from = lorma::read_lorma_adapter(options.adapter);
  lorma::PeftLora lora;
  lora.base_model = from.base_model;
  std::vector<ConvertedLayer> report;
  Index widest = 1;
  for (const LormaLayer& layer : from.layers) {
    const bool turned = layer.layout == WeightLayout::in_out;
    if (&layer != &from.layers.front() && turned != lora.fan_in_fan_out) {
      throw lorma::FormatError(
          "PEFT has one 'fan_in_fan_out' an adapter: expected one layout for all weights, got "
          "both");
    }
    lora.fan_in_fan_out = turned;
    const BaseWeight weight = base_weight(base, layer.weight, layer.layout);
    double residual = 0.0;
    lora.layers.push_back(additive(layer, weight, options.rank, residual));
    report.push_back({layer.weight, lora.layers.back().A.rows(), residual});
    widest = std::max(widest, lora.layers.back().A.rows());
  }
  // The portable form: one rank, scale 1, so that no pattern has to be understood.
  for (LoraLayer& layer : lora.layers) {
    const Index r = layer.A.rows();
    layer.A.conservativeResize(widest, Eigen::NoChange);
    layer.B.conservativeResize(Eigen::NoChange, widest);
    layer.A.bottomRows(widest - r).setZero();
    layer.B.rightCols(widest - r).setZero();
    layer.alpha = static_cast<double>(widest);
    layer.scale = 1.0;
  }
  lorma::write_peft_lora(options.out, lora);
  return report;
}

std::vector<ConvertedLayer> to_lorma(const ConvertOptions& options, const Checkpoint& base) {
  const lorma::PeftLora from = lorma::read_peft_lora(options.adapter);
  lorma::LormaAdapter adapter;
  adapter.base_model = from.base_model;
  std::vector<ConvertedLayer> report;
  for (const LoraLayer& layer : from.layers) {
    LormaLayer made;
    made.weight = layer.module + ".weight";
    made.side = options.side;
    made.layout = from.fan_in_fan_out ? WeightLayout::in_out : WeightLayout::out_in;
    const BaseWeight weight = base_weight(base, made.weight, made.layout);
    const Matrix<double> B = layer.scale * layer.B.cast<double>();
    const Matrix<double> A = layer.A.cast<double>();
    const auto factors = options.side == "Pre"
                             ? lorma::to_multiplicative<lorma::Pre>(B, A, weight.W0)
                             : lorma::to_multiplicative<lorma::Post>(B, A, weight.W0);
    made.B = factors.B.cast<float>();
    made.A = factors.A.cast<float>();
    made.alpha = static_cast<double>(A.rows());
    made.fingerprint = weight.fingerprint;
    report.push_back({made.weight, A.rows(), factors.residual});
    adapter.layers.push_back(std::move(made));
  }
  lorma::write_lorma_adapter(options.out, adapter);
  return report;
}

}  // namespace

std::vector<ConvertedLayer> convert(const ConvertOptions& options) {
  if (std::filesystem::exists(options.out)) {
    throw lorma::Error(lorma::detail::in_quotes(options.out.string(), 1024) +
                       ": expected an output that does not exist");
  }
  const Checkpoint base(options.base);
  return options.to == "lora" ? to_lora(options, base) : to_lorma(options, base);
}

}  // namespace lorma_tool
