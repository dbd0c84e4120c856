// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_PEFT_LORA_HPP
#define LORMA_MODEL_PEFT_LORA_HPP

/// LoRA adapters read (read_peft_lora.hpp) and written, as the Python library PEFT keeps them.
///
///   PeftLora lora = read_peft_lora("adapter");
///   write_peft_lora("other", lora);
///
/// Source: the files that peft writes, and its documentation of the checkpoint format.

#include <map>
#include <string>
#include <vector>

#include "lorma/model/adapter_files.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/read_peft_lora.hpp"

namespace lorma::inline LORMA_ABI {

/// The module that PEFT adapts for a weight: its name without ".weight". Throws FormatError for
/// names that do not end so.
inline std::string peft_module(const std::string& weight) {
  constexpr std::string_view suffix = ".weight";
  if (weight.size() > suffix.size() && weight.ends_with(suffix)) {
    return weight.substr(0, weight.size() - suffix.size());
  }
  throw FormatError(
      "lorma::peft_module: PEFT adapts modules: expected a weight whose name ends in "
      "'.weight', got " +
      detail::in_quotes(weight));
}

/// Brings plain layers into the form that asks least of who loads it: one rank for all, smaller
/// ones padded with zeros, and alpha = r with the scale in B, so that no pattern has to be
/// understood.
LORMA_MODEL_FUNCTION void make_portable(PeftLora& lora);

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION void make_portable(PeftLora& lora) {
  Index widest = 1;
  for (const LoraLayer& layer : lora.layers) widest = std::max(widest, layer.A.rows());
  lora.use_rslora = false;
  for (LoraLayer& layer : lora.layers) {
    const Index r = layer.A.rows();
    if (layer.scale != 1.0) {
      layer.B = (layer.scale * layer.B.cast<double>()).cast<float>();
    }
    layer.A.conservativeResize(widest, Eigen::NoChange);
    layer.B.conservativeResize(Eigen::NoChange, widest);
    layer.A.bottomRows(widest - r).setZero();
    layer.B.rightCols(widest - r).setZero();
    layer.alpha = static_cast<double>(widest);
    layer.scale = 1.0;
  }
}
#endif

/// Writes a directory that PEFT loads, as adapter_files.hpp does. The most frequent rank and alpha
/// become `r` and `lora_alpha`, others go into patterns. Throws Error where there are whole
/// tensors, which only a model of PEFT writes, ShapeError if B and A of a layer do not fit,
/// NonFinite, FormatError for a scale that is not that of alpha, and for what is no plain LoRA of a
/// matrix.
LORMA_MODEL_FUNCTION void write_peft_lora(const std::filesystem::path& directory,
                                          const PeftLora& lora);

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION void write_peft_lora(const std::filesystem::path& directory,
                                          const PeftLora& lora) {
  detail::require_no_saved(lora.saved, directory, "be written");
  std::map<Index, std::size_t> ranks;
  std::map<double, std::size_t> alphas;
  std::vector<TensorSource> tensors;
  for (const LoraLayer& layer : lora.layers) {
    if (!layer.is_plain()) {
      throw FormatError("lorma::write_peft_lora: " + detail::in_quotes(layer.module) +
                        ": expected plain LoRA of a matrix");
    }
    if (layer.B.cols() != layer.A.rows() || layer.A.rows() < 1) {
      throw ShapeError("lorma::write_peft_lora: " + detail::in_quotes(layer.module) +
                       ": expected B (d x r) and A (r x k) with r >= 1, got B " +
                       detail::shape(layer.B.rows(), layer.B.cols()) + " and A " +
                       detail::shape(layer.A.rows(), layer.A.cols()));
    }
    const double scale = lora_scale(layer.alpha, layer.A.rows(), lora.use_rslora);
    if (!(std::abs(layer.scale - scale) <= 1e-9 * std::abs(scale)) || !(layer.alpha > 0.0)) {
      throw FormatError("lorma::write_peft_lora: " + detail::in_quotes(layer.module) +
                        ": expected alpha > 0 and the scale that follows from it, " +
                        std::to_string(scale) + ", got " + std::to_string(layer.alpha) + " and " +
                        std::to_string(layer.scale));
    }
    detail::check_factors_finite("write_peft_lora", layer.module, layer.B, layer.A);
    ++ranks[layer.A.rows()];
    ++alphas[layer.alpha];
    const std::string name = std::string(detail::peft_prefix) + layer.module;
    tensors.push_back(TensorSource::view(
        name + ".lora_A.weight",
        as_const(MatrixView<const float>(layer.A.data(), layer.A.rows(), layer.A.cols(),
                                         std::max<Index>(1, layer.A.rows())))));
    tensors.push_back(TensorSource::view(
        name + ".lora_B.weight",
        as_const(MatrixView<const float>(layer.B.data(), layer.B.rows(), layer.B.cols(),
                                         std::max<Index>(1, layer.B.rows())))));
  }
  const auto most_frequent = [](const auto& counts, auto fallback) {
    std::size_t best = 0;
    for (const auto& [value, count] : counts) {
      if (count > best) {
        best = count;
        fallback = value;
      }
    }
    return fallback;
  };
  const Index rank = most_frequent(ranks, Index(1));
  const double alpha = most_frequent(alphas, 1.0);
  nlohmann::ordered_json config;
  config["peft_type"] = "LORA";
  config["task_type"] = nullptr;
  if (!lora.task_type.empty()) config["task_type"] = lora.task_type;
  config["base_model_name_or_path"] = nullptr;
  if (!lora.base_model.empty()) config["base_model_name_or_path"] = lora.base_model;
  config["r"] = rank;
  config["lora_alpha"] = alpha;
  if (alpha == std::floor(alpha) && alpha < 1e15)
    config["lora_alpha"] = static_cast<std::int64_t>(alpha);
  config["lora_dropout"] = 0.0;
  config["bias"] = "none";
  config["use_rslora"] = lora.use_rslora;
  config["use_dora"] = false;
  config["fan_in_fan_out"] = lora.fan_in_fan_out;
  config["inference_mode"] = true;
  config["init_lora_weights"] = true;
  auto targets = nlohmann::ordered_json::array();
  auto rank_pattern = nlohmann::ordered_json::object();
  auto alpha_pattern = nlohmann::ordered_json::object();
  for (const LoraLayer& layer : lora.layers) {
    targets.push_back(layer.module);
    const std::string key = detail::ModulePatterns::exact_key(layer.module);
    if (layer.A.rows() != rank) rank_pattern[key] = layer.A.rows();
    if (layer.alpha != alpha) alpha_pattern[key] = layer.alpha;
  }
  config["target_modules"] = targets;
  config["rank_pattern"] = rank_pattern;
  config["alpha_pattern"] = alpha_pattern;
  detail::write_adapter_files(directory, tensors, {{"format", "pt"}}, config);
}
#endif

}  // namespace lorma::inline LORMA_ABI

#endif
