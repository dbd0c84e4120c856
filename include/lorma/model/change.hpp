// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_CHANGE_HPP
#define LORMA_MODEL_CHANGE_HPP

/// What an adapter on disk, of either kind, does to each tensor of its base.

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lorma/model/compiled.hpp"
#include "lorma/model/lorma_directory.hpp"
#include "lorma/model/peft_lora.hpp"

namespace lorma::inline LORMA_ABI::model {

/// What is to be done to one tensor: multipliers of the whole or of slices, or an additive change.
struct Change {
  std::string tensor;
  WeightLayout layout = WeightLayout::out_in;
  std::string fingerprint;  ///< of the base's tensor; empty: not known
  std::vector<LormaLayer> multiply;
  std::optional<LoraLayer> add;

  bool is_turned() const { return layout == WeightLayout::in_out; }
  /// "Identity, Pre, rank 8"
  std::string text() const;
};

/// The peft_type of an adapter's directory: "LORMA", "LORA", ... Throws Error if its configuration
/// cannot be read, FormatError where it has none.
LORMA_MODEL_FUNCTION std::string adapter_kind(const std::filesystem::path& directory);

/// Whether a directory holds an adapter of ours; throws FormatError where it has no
/// peft_type.
LORMA_MODEL_FUNCTION bool is_lorma_adapter(const std::filesystem::path& directory);

/// One change a tensor. What a person should know goes to `remarks`. Throws Error.
LORMA_MODEL_FUNCTION std::vector<Change> read_changes(const std::filesystem::path& directory,
                                                      std::vector<std::string>& remarks);

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION std::string Change::text() const {
  if (add) return "LoRA, rank " + std::to_string(add->A.rows());
  std::string all;
  for (const LormaLayer& layer : multiply) {
    if (!all.empty()) all += "; ";
    if (!layer.outputs.is_whole()) {
      all += "outputs " + std::to_string(layer.outputs.first) + " to " +
             std::to_string(layer.outputs.first + layer.outputs.count - 1) + ": ";
    }
    all += layer.inflation + ", " + layer.side + ", rank " + std::to_string(layer.A.rows());
  }
  return all;
}

LORMA_MODEL_FUNCTION std::string adapter_kind(const std::filesystem::path& directory) {
  const std::filesystem::path config = directory / adapter_config_name;
  const auto json = lorma::detail::read_json_object(config);
  return lorma::detail::JsonFields(config, json.value).text("peft_type");
}

LORMA_MODEL_FUNCTION bool is_lorma_adapter(const std::filesystem::path& directory) {
  return adapter_kind(directory) == "LORMA";
}

LORMA_MODEL_FUNCTION std::vector<Change> read_changes(const std::filesystem::path& directory,
                                                      std::vector<std::string>& remarks) {
  std::vector<Change> changes;
  if (is_lorma_adapter(directory)) {
    std::map<std::string, std::size_t> place;
    for (LormaLayer& layer : read_lorma_adapter(directory).layers) {
      const auto [entry, is_new] = place.try_emplace(layer.weight, changes.size());
      if (is_new) changes.push_back({layer.weight, layer.layout, layer.fingerprint, {}, {}});
      changes[entry->second].multiply.push_back(std::move(layer));
    }
    return changes;
  }
  PeftLora lora = read_peft_lora(directory);
  const auto layout = lora.fan_in_fan_out ? WeightLayout::in_out : WeightLayout::out_in;
  for (LoraLayer& layer : lora.layers) {
    changes.push_back({layer.module + ".weight", layout, "", {}, std::move(layer)});
  }
  for (const std::string& name : lora.unmatched) {
    remarks.push_back("'target_modules' names " + lorma::detail::in_quotes(name) +
                      ", for which the adapter has no tensors");
  }
  return changes;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
