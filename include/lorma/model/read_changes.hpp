// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_READ_CHANGES_HPP
#define LORMA_MODEL_READ_CHANGES_HPP

/// Reads adapters of every kind, as what they do to the tensors of their base.

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "lorma/io/paths.hpp"
#include "lorma/model/change.hpp"
#include "lorma/model/peft_lora.hpp"
#include "lorma/model/peft_methods.hpp"

namespace lorma::inline LORMA_ABI::model {

/// The peft_type of an adapter's directory: "LORMA", "LORA", ...; "LORA" of a file of tensors.
/// Throws Error if a configuration cannot be read, FormatError where it has no peft_type.
LORMA_MODEL_FUNCTION std::string adapter_kind(const std::filesystem::path& adapter);

/// Whether its peft_type is LORMA. Throws as adapter_kind does.
LORMA_MODEL_FUNCTION bool is_lorma_adapter(const std::filesystem::path& adapter);

/// One change for each tensor, from a directory of LoRMA, LoRA, (IA)^3, RoAd, HRA or DEFT, or a
/// file of LoRA. What a person should know goes to `remarks`. Throws Error.
LORMA_MODEL_FUNCTION std::vector<Change> read_changes(const std::filesystem::path& adapter,
                                                      std::vector<std::string>& remarks);

#ifdef LORMA_MODEL_BODIES
namespace detail {

inline std::vector<Change> changes_of(LormaAdapter&& adapter) {
  std::vector<Change> changes;
  std::map<std::string, std::size_t> place;
  for (LormaLayer& layer : adapter.layers) {
    const auto [entry, is_new] = place.try_emplace(layer.weight, changes.size());
    if (is_new) changes.push_back({layer.weight, layer.layout, layer.fingerprint, {}, {}});
    changes[entry->second].multiply.push_back(std::move(layer));
  }
  add_saved(adapter.saved, adapter.file, changes);
  return changes;
}

inline std::vector<Change> changes_of(PeftLora&& lora) {
  std::vector<Change> changes;
  for (LoraLayer& layer : lora.layers) {
    Change change;
    change.tensor = layer.module + (layer.form == WeightForm::vector ? ".bias" : ".weight");
    if (!layer.parameters.empty()) change.tensor = layer.parameters.front();
    change.form = layer.form;
    const bool is_linear = layer.form == WeightForm::matrix && !layer.is_embedding;
    change.is_settled =
        layer.form == WeightForm::kernel || layer.form == WeightForm::vector || layer.is_embedding;
    if (layer.is_embedding || (is_linear && lora.fan_in_fan_out)) {
      change.layout = WeightLayout::in_out;
    }
    change.add = std::move(layer);
    changes.push_back(std::move(change));
  }
  add_saved(lora.saved, lora.file, changes);
  return changes;
}

}  // namespace detail

LORMA_MODEL_FUNCTION std::string adapter_kind(const std::filesystem::path& adapter) {
  if (lorma::detail::path_is_file(adapter)) return "LORA";
  lorma::detail::require_adapter_files(adapter);
  const std::filesystem::path config = adapter / adapter_config_name;
  const auto json = lorma::detail::read_json_object(config);
  return lorma::detail::JsonFields(config, json.value).text("peft_type");
}

LORMA_MODEL_FUNCTION bool is_lorma_adapter(const std::filesystem::path& adapter) {
  return adapter_kind(adapter) == "LORMA";
}

LORMA_MODEL_FUNCTION std::vector<Change> read_changes(const std::filesystem::path& adapter,
                                                      std::vector<std::string>& remarks) {
  const std::string type = adapter_kind(adapter);
  if (type == "LORMA") return detail::changes_of(read_lorma_adapter(adapter));
  static const std::set<std::string> methods = {"IA3", "ROAD", "HRA", "DEFT"};
  if (methods.contains(type)) return read_peft_method(adapter, type, remarks);
  if (type == "LORA") {
    PeftLora lora = read_peft_lora(adapter);
    remarks.insert(remarks.end(), lora.remarks.begin(), lora.remarks.end());
    return detail::changes_of(std::move(lora));
  }
  throw FormatError(
      lorma::detail::in_quotes((adapter / adapter_config_name).string(), 1024) +
      ": expected 'peft_type' LORMA, LORA, IA3, ROAD, HRA or DEFT, whose merge is exact, got " +
      lorma::detail::in_quotes(type));
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
