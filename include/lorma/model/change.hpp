// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_CHANGE_HPP
#define LORMA_MODEL_CHANGE_HPP

/// What an adapter does to one tensor of its base, whatever the adapter's kind.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/model/compiled.hpp"
#include "lorma/model/lora_layer.hpp"
#include "lorma/model/lorma_directory.hpp"

namespace lorma::inline LORMA_ABI::model {

/// What is to be done to one tensor, in this order: a whole tensor in its place, multipliers of the
/// whole or of slices, an additive change, rows brought to the norms of DoRA.
struct Change {
  std::string tensor;
  WeightLayout layout = WeightLayout::out_in;
  std::string fingerprint;  ///< of the base's tensor; empty: not known
  std::vector<LormaLayer> multiply;
  std::optional<LoraLayer> add;
  std::optional<SavedTensor> saved = {};
  std::shared_ptr<const SafetensorsFile> file = {};  ///< that `saved` lies in
  WeightForm form = WeightForm::matrix;
  bool is_optional = false;  ///< for a tensor that a module need not have: its bias
  bool is_settled = true;    ///< false: `layout` is only what the configuration says
  std::string method = {};   ///< "(IA)^3"; empty: LoRMA, LoRA
  /// What the method's own definition makes of W0 (out x in), where `multiply` stands for another
  /// method: a conversion is measured against it.
  std::function<void(Matrix<double>&)> definition = {};

  bool is_turned() const { return layout == WeightLayout::in_out; }
  /// Whether it is a whole tensor and no more.
  bool is_whole() const { return saved && !add && multiply.empty(); }
  /// "Identity, Pre, rank 8"
  std::string text() const;
};

namespace detail {

/// Whole tensors become changes, or the first part of the change that their tensor has already.
inline void add_saved(const std::vector<SavedTensor>& saved,
                      const std::shared_ptr<const SafetensorsFile>& file,
                      std::vector<Change>& changes) {
  std::map<std::string_view, std::size_t> places;
  for (std::size_t i = 0; i < changes.size(); ++i) places.emplace(changes[i].tensor, i);
  std::vector<Change> fresh;
  for (const SavedTensor& tensor : saved) {
    const auto found = places.find(tensor.name);
    Change change;
    change.tensor = tensor.name;
    Change& target = found != places.end() ? changes[found->second] : change;
    target.saved = tensor;
    target.file = file;
    if (found == places.end()) fresh.push_back(std::move(change));
  }
  for (Change& change : fresh) changes.push_back(std::move(change));
}

}  // namespace detail

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION std::string Change::text() const {
  std::string all = saved ? "saved whole" : "";
  const auto append = [&all](const std::string& more) { all += (all.empty() ? "" : "; ") + more; };
  if (!method.empty()) {
    append(method);
    return all;
  }
  for (const LormaLayer& layer : multiply) {
    std::string outputs;
    if (!layer.outputs.is_whole()) {
      outputs = "outputs " + std::to_string(layer.outputs.first) + " to " +
                std::to_string(layer.outputs.first + layer.outputs.count - 1) + ": ";
    }
    append(outputs + layer.inflation + ", " + layer.side + ", rank " +
           std::to_string(layer.A.rows()));
  }
  if (add) {
    append(std::string(add->magnitude.size() > 0 ? "DoRA" : "LoRA") + ", rank " +
           std::to_string(add->rank > 0 ? add->rank : add->A.rows()));
  }
  return all;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
