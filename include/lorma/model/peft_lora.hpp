// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_PEFT_LORA_HPP
#define LORMA_MODEL_PEFT_LORA_HPP

/// LoRA adapters as the Python library PEFT keeps them: a directory with adapter_config.json and
/// adapter_model.safetensors.
///
///   PeftLora lora = read_peft_lora("adapter");
///   for (const LoraLayer& layer : lora.layers)      // W = W0 + layer.scale * layer.B * layer.A
///     ... layer.module, layer.B (d x r), layer.A (r x k) ...
///   write_peft_lora("other", lora);
///
/// What changes the mathematics and is not understood here is refused by name, never passed over.
/// Source: the files that peft writes, and its documentation of the checkpoint format.

#include <map>
#include <set>
#include <vector>

#include "lorma/io/json_file.hpp"
#include "lorma/io/safetensors_reader.hpp"
#include "lorma/model/adapter_files.hpp"
#include "lorma/model/compiled.hpp"

#ifdef LORMA_MODEL_BODIES
#include "lorma/model/peft_config.hpp"
#endif

namespace lorma::inline LORMA_ABI {

/// One adapted module: W = W0 + scale B A for W0 d x k (out x in).
struct LoraLayer {
  std::string module;  ///< "encoder.layer.0.attention.self.query", without PEFT's prefix
  Matrix<float> B;     ///< d x r
  Matrix<float> A;     ///< r x k
  double alpha = 1.0;
  double scale = 1.0;  ///< alpha / r, or alpha / sqrt(r) with use_rslora
};

struct PeftLora {
  std::string base_model;  ///< base_model_name_or_path, may be empty
  std::string task_type;   ///< may be empty
  bool use_rslora = false;
  /// The base's weights are stored in x out (GPT-2's Conv1D); B and A are as above all the same.
  bool fan_in_fan_out = false;
  std::vector<LoraLayer> layers;       ///< by name
  std::vector<std::string> unmatched;  ///< names of target_modules that no tensor bears
};

namespace detail {

/// What PEFT puts before the name of a module.
inline constexpr std::string_view peft_prefix = "base_model.model.";

}  // namespace detail

/// Reads a directory. Throws Error if a file cannot be read; FormatError for a field whose meaning
/// is not supported, and for missing, unexpected and misshaped tensors, all of them in one message.
/// Factors of F64, F16 and BF16 are rounded to, or widened to, float.
LORMA_MODEL_FUNCTION PeftLora read_peft_lora(const std::filesystem::path& directory);

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION PeftLora read_peft_lora(const std::filesystem::path& directory) {
  const std::filesystem::path config_path = directory / adapter_config_name;
  const detail::JsonDocument config = detail::read_json_object(config_path);
  detail::refuse_unsupported_lora(config_path, config.value);
  const detail::JsonFields fields(config_path, config.value);
  PeftLora lora;
  lora.base_model = fields.text("base_model_name_or_path", "");
  lora.task_type = fields.text("task_type", "");
  lora.use_rslora = fields.boolean("use_rslora");
  lora.fan_in_fan_out = fields.boolean("fan_in_fan_out");
  const Index default_rank = fields.count("r");
  const double default_alpha = fields.positive("lora_alpha");
  const nlohmann::json& ranks = fields.object("rank_pattern");
  const nlohmann::json& alphas = fields.object("alpha_pattern");
  detail::TargetModules targets(config_path, fields);
  detail::ModulePatterns rank_pattern(config_path, config, "rank_pattern");
  detail::ModulePatterns alpha_pattern(config_path, config, "alpha_pattern");

  const SafetensorsFile file(directory / adapter_model_name);
  struct Pair {
    const StoredTensor* A = nullptr;
    const StoredTensor* B = nullptr;
  };
  std::map<std::string, Pair> pairs;
  std::vector<std::string> problems;
  for (const StoredTensor& tensor : file.tensors()) {
    std::string_view name = tensor.name;
    if (name.starts_with(detail::peft_prefix)) name.remove_prefix(detail::peft_prefix.size());
    const auto take = [&](std::string_view suffix, const StoredTensor* Pair::*factor) {
      if (name.size() <= suffix.size() || !name.ends_with(suffix)) return false;
      Pair& pair = pairs[std::string(name.substr(0, name.size() - suffix.size()))];
      if (pair.*factor != nullptr) {
        problems.push_back("tensors " + detail::in_quotes((pair.*factor)->name) + " and " +
                           detail::in_quotes(tensor.name) + " are the same factor");
      }
      pair.*factor = &tensor;
      return true;
    };
    if (take(".lora_A.weight", &Pair::A) || take(".lora_B.weight", &Pair::B)) continue;
    if (name.find("lora_down") != name.npos || name.find("lora_up") != name.npos) {
      problems.push_back("tensor " + detail::in_quotes(tensor.name) +
                         " is of the lora_down/lora_up dialect, which is not supported");
    } else if (name.find("lora_embedding") != name.npos) {
      problems.push_back("tensor " + detail::in_quotes(tensor.name) +
                         " adapts an embedding, which is not supported");
    } else {
      problems.push_back("unexpected tensor " + detail::in_quotes(tensor.name));
    }
  }
  std::set<std::string> modules;
  for (const auto& entry : pairs) {
    const std::string& module = entry.first;
    const Pair& pair = entry.second;
    modules.insert(module);
    if (!targets.contain(module)) {
      problems.push_back("unexpected module " + detail::in_quotes(module) +
                         ", which 'target_modules' does not name");
    }
    if (pair.A == nullptr || pair.B == nullptr) {
      problems.push_back(
          "missing tensor " +
          detail::in_quotes(module + (pair.A == nullptr ? ".lora_A.weight" : ".lora_B.weight")));
      continue;
    }
    const std::string rank_key = rank_pattern.find(module);
    const std::string alpha_key = alpha_pattern.find(module);
    const Index rank =
        rank_key.empty() ? default_rank : fields.count_of("rank_pattern", ranks[rank_key]);
    const double alpha =
        alpha_key.empty() ? default_alpha : fields.positive_of("alpha_pattern", alphas[alpha_key]);
    const auto is_matrix = [&](const StoredTensor& t, std::size_t side) {
      return t.shape.size() == 2 && t.shape[side] == static_cast<std::uint64_t>(rank);
    };
    if (!is_matrix(*pair.A, 0) || !is_matrix(*pair.B, 1)) {
      problems.push_back(detail::in_quotes(module) + ": expected A [" + std::to_string(rank) +
                         ", in] and B [out, " + std::to_string(rank) + "], got " +
                         detail::shape_text(pair.A->shape) + " and " +
                         detail::shape_text(pair.B->shape));
      continue;
    }
    LoraLayer layer;
    layer.module = module;
    layer.alpha = alpha;
    const auto r = static_cast<double>(rank);
    layer.scale = alpha / (lora.use_rslora ? std::sqrt(r) : r);
    layer.A = file.matrix<float>(pair.A->name);
    layer.B = file.matrix<float>(pair.B->name);
    lora.layers.push_back(std::move(layer));
  }
  // An end of names may be one that other models have; a whole name says what must be here.
  for (const std::string& name : targets.absent_from(modules)) {
    if (modules.empty() || name.find('.') != name.npos) {
      problems.push_back("missing tensors of 'target_modules' " + detail::in_quotes(name));
    } else {
      lora.unmatched.push_back(name);
    }
  }
  detail::throw_problems(directory / adapter_model_name, problems);
  return lora;
}
#endif

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

/// The form that asks least of who loads it: one rank for all layers, smaller ones filled with
/// zeros, and alpha = r with the scale in B, so that no pattern has to be understood.
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
/// become `r` and `lora_alpha`, others patterns. Throws ShapeError if B and A of a layer do not
/// fit, NonFinite, FormatError for a module named twice and for a scale that is not that of alpha.
LORMA_MODEL_FUNCTION void write_peft_lora(const std::filesystem::path& directory,
                                          const PeftLora& lora);

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION void write_peft_lora(const std::filesystem::path& directory,
                                          const PeftLora& lora) {
  std::map<Index, std::size_t> ranks;
  std::map<double, std::size_t> alphas;
  std::vector<TensorSource> tensors;
  for (const LoraLayer& layer : lora.layers) {
    if (layer.B.cols() != layer.A.rows() || layer.A.rows() < 1) {
      throw ShapeError("lorma::write_peft_lora: " + detail::in_quotes(layer.module) +
                       ": expected B (d x r) and A (r x k) with r >= 1, got B " +
                       detail::shape(layer.B.rows(), layer.B.cols()) + " and A " +
                       detail::shape(layer.A.rows(), layer.A.cols()));
    }
    const auto r = static_cast<double>(layer.A.rows());
    const double scale = layer.alpha / (lora.use_rslora ? std::sqrt(r) : r);
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
