// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_SETTLE_HPP
#define LORMA_MODEL_SETTLE_HPP

/// What an adapter leaves open and its base tells: names that differ in what stands before them or
/// whose dots are underscores, which of several parameters is meant, how weights are stored.

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lorma/model/change.hpp"
#include "lorma/model/checkpoint.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/match_names.hpp"
#include "lorma/model/misfit.hpp"

namespace lorma::inline LORMA_ABI::model {

/// How the weights of a LoRA adapter are stored, of which PEFT's configuration tells little.
enum class LoraLayout { by_shape, out_in, in_out };
/// Their names on the command line.
LORMA_MODEL_FUNCTION std::map<std::string, LoraLayout> lora_layouts();

/// What the caller knows of names and layouts.
struct FitOptions {
  LoraLayout layout = LoraLayout::by_shape;
  std::vector<Rename> renames;  ///< of the adapter's tensors; the first that changes a name counts
};

#ifdef LORMA_MODEL_BODIES
namespace detail {

/// The base's names in place of the adapter's.
inline void settle_names(const Checkpoint& base, std::vector<Change>& changes,
                         const std::vector<Rename>& renames, std::vector<std::string>& remarks,
                         std::vector<std::string>& problems) {
  std::vector<std::string*> names;
  std::vector<const Change*> owners;  // of the names
  std::map<std::string, const Change*> weights;
  const auto rename = [&](std::string& name) {
    for (const Rename& one : renames) {
      std::string other = one.of(name);
      if (other == name) continue;
      name = std::move(other);
      return;
    }
  };
  for (Change& change : changes) {
    if (change.add && change.add->is_flattened) continue;
    std::vector<std::string*> own = {&change.tensor};
    if (change.add && !change.add->parameters.empty()) {
      own.clear();
      for (std::string& parameter : change.add->parameters) own.push_back(&parameter);
    }
    for (std::string* name : own) {
      const std::string old = *name;
      rename(*name);
      weights.emplace(old, &change);
      if (change.is_optional) continue;
      names.push_back(name);
      owners.push_back(&change);
    }
  }
  std::map<const Change*, std::string> before;  // a module's bias follows its weight
  for (const auto& [name, change] : weights) before.emplace(change, name);
  const auto fits = [&](std::size_t i, const StoredTensor& tensor) {
    const Change& change = *owners[i];
    if (change.saved && change.saved->tensor->shape != tensor.shape) return false;
    if (misfit(change, tensor).empty()) return true;
    if (change.is_settled) return false;
    Change turned = change;  // whose layout its shape will show
    turned.layout = turned.is_turned() ? WeightLayout::out_in : WeightLayout::in_out;
    return misfit(turned, tensor).empty();
  };
  match_names(base, std::move(names), fits, remarks, problems);
  constexpr std::string_view bias = "bias", weight = "weight";
  for (Change& change : changes) {
    if (!change.is_optional || !change.tensor.ends_with(bias)) continue;
    std::string name = before[&change];
    name.replace(name.size() - bias.size(), bias.size(), weight);
    const auto found = weights.find(name);
    if (found == weights.end() || !found->second->tensor.ends_with(weight)) continue;
    change.tensor = found->second->tensor;
    change.tensor.replace(change.tensor.size() - weight.size(), weight.size(), bias);
  }
}

/// A name with underscores for dots takes the tensor whose name is the same or ends the same, of
/// which there must be only one. Groups of names without any partner, such as those of a text
/// encoder, are named and left out, unless there is no other group.
inline void settle_flattened(const Checkpoint& base, std::vector<Change>& changes,
                             std::vector<std::string>& remarks,
                             std::vector<std::string>& problems) {
  const auto is_flattened = [](const Change& c) { return c.add && c.add->is_flattened; };
  if (std::none_of(changes.begin(), changes.end(), is_flattened)) return;
  constexpr std::string_view suffix = ".weight";
  std::vector<std::pair<std::string, const std::string*>> modules;  // reversed, flattened
  for (const auto& file : base.files()) {
    for (const StoredTensor& tensor : file->tensors()) {
      if (!tensor.name.ends_with(suffix)) continue;
      std::string module(tensor.name.rbegin() + suffix.size(), tensor.name.rend());
      std::replace(module.begin(), module.end(), '.', '_');
      modules.emplace_back(std::move(module), &tensor.name);
    }
  }
  std::sort(modules.begin(), modules.end());
  constexpr std::string_view groups[] = {"lora_unet_",      "lora_transformer_", "lora_te1_",
                                         "lora_te2_",       "lora_te3_",         "lora_te_",
                                         "lora_prior_unet_"};
  std::map<std::string_view, std::pair<std::size_t, std::size_t>> found_of_group;
  std::vector<Change> kept, absent;
  for (Change& change : changes) {
    if (!is_flattened(change)) {
      kept.push_back(std::move(change));
      continue;
    }
    const std::string_view key = change.add->module;
    const auto group = std::find_if(std::begin(groups), std::end(groups),
                                    [key](std::string_view g) { return key.starts_with(g); });
    const std::string_view prefix = group == std::end(groups) ? std::string_view("lora_") : *group;
    const std::string reversed(key.rbegin(),
                               key.rend() - static_cast<std::ptrdiff_t>(prefix.size()));
    std::vector<const std::string*> partners;
    for (auto at = std::lower_bound(modules.begin(), modules.end(),
                                    std::pair<std::string, const std::string*>(reversed, nullptr));
         at != modules.end() && at->first.starts_with(reversed); ++at) {
      const bool whole = at->first.size() == reversed.size();
      if (whole) partners.assign(1, at->second);
      if (whole) break;
      if (at->first[reversed.size()] == '_') partners.push_back(at->second);
    }
    auto& [tried, found] = found_of_group[prefix];
    ++tried;
    if (partners.size() > 1) {
      problems.push_back(lorma::detail::in_quotes(key) + " may be " +
                         lorma::detail::in_quotes(*partners[0]) + " or " +
                         lorma::detail::in_quotes(*partners[1]));
    } else if (partners.empty()) {
      absent.push_back(std::move(change));
    } else {
      ++found;
      change.tensor = *partners[0];
      kept.push_back(std::move(change));
    }
  }
  for (const auto& [prefix, counts] : found_of_group) {
    if (counts.second > 0 || found_of_group.size() == 1) continue;
    remarks.push_back("left out: the base has none of the " + std::to_string(counts.first) +
                      " modules of " + lorma::detail::in_quotes(prefix));
  }
  for (const Change& change : absent) {
    const std::string_view key = change.add->module;
    for (const auto& [prefix, counts] : found_of_group) {
      if (!key.starts_with(prefix) || (counts.second == 0 && found_of_group.size() > 1)) continue;
      problems.push_back("the base has no module " + lorma::detail::in_quotes(key));
    }
  }
  changes = std::move(kept);
}

/// Which of several parameters of a module each change is for, by their shapes: PEFT's keys do not
/// say.
inline void settle_parameters(const Checkpoint& base, std::vector<Change>& changes,
                              std::vector<std::string>& problems) {
  std::map<std::string, std::vector<Change*>> by_module;
  for (Change& change : changes) {
    if (change.add && !change.add->parameters.empty()) {
      by_module[change.add->module].push_back(&change);
    }
  }
  for (auto& entry : by_module) {
    std::vector<Change*>& open = entry.second;
    std::set<std::string> taken;
    const auto candidates = [&](const Change& change) {
      std::vector<std::string> names;
      for (const std::string& name : change.add->parameters) {
        const Checkpoint::Found found = base.find(name);
        if (found.file == nullptr || taken.contains(name)) continue;
        for (const WeightLayout layout : {WeightLayout::out_in, WeightLayout::in_out}) {
          Change tried = change;
          tried.tensor = name;
          tried.layout = layout;
          if (!misfit(tried, *found.tensor).empty()) continue;
          names.push_back(name);
          break;
        }
      }
      return names;
    };
    for (bool moved = true; moved;) {
      moved = false;
      for (auto change = open.begin(); change != open.end();) {
        const std::vector<std::string> names = candidates(**change);
        if (names.size() != 1) {
          ++change;
          continue;
        }
        (*change)->tensor = names[0];
        taken.insert(names[0]);
        change = open.erase(change);
        moved = true;
      }
    }
    for (const Change* change : open) {
      problems.push_back(lorma::detail::in_quotes(entry.first) +
                         ": expected one of 'target_parameters' with " +
                         std::to_string(change->add->B.rows()) + " outputs and " +
                         std::to_string(change->add->A.cols()) + " inputs, got " +
                         (candidates(*change).empty() ? "none" : "several"));
    }
  }
}

/// Where (IA)^3 has one number for each input channel of a kernel, it is repeated for each element
/// of the channel.
inline void settle_channels(const StoredTensor& tensor, Change& change) {
  if (change.form != WeightForm::kernel || tensor.shape.size() < 3) return;
  const std::optional<MatrixStack> stack = matrices_of(change.form, tensor.shape);
  for (LormaLayer& layer : change.multiply) {
    const Index n = layer.B.rows();
    const bool by_channel = stack && layer.side == "Post" && layer.A.rows() == 1 &&
                            static_cast<std::uint64_t>(n) == tensor.shape[1] && n != stack->cols;
    if (!by_channel || layer.inflation != "CyclicPermutation") continue;
    const Index each = stack->cols / n;
    Matrix<float> B(stack->cols, 1);
    for (Index i = 0; i < B.rows(); ++i) B(i, 0) = layer.B(i / each, 0);
    layer.B = std::move(B);
    layer.A = Matrix<float>::Zero(1, stack->cols);
    layer.A(0, 0) = 1.0F;
  }
}

/// Where a square weight leaves its layout open, the configuration is believed, unless weights that
/// are not square, or the model's type, contradict it: PEFT sets the field for the last module
/// alone. Of square experts no configuration says anything.
inline void settle_layouts(const Checkpoint& base, std::vector<Change>& changes, LoraLayout wanted,
                           std::vector<std::string>& problems) {
  std::set<WeightLayout> seen, seen_of_experts;
  std::vector<Change*> square;
  for (Change& change : changes) {
    if (change.is_settled || (!change.add && change.multiply.empty())) continue;
    if (wanted != LoraLayout::by_shape) {
      change.layout = wanted == LoraLayout::in_out ? WeightLayout::in_out : WeightLayout::out_in;
      continue;
    }
    const Checkpoint::Found found = base.find(change.tensor);
    if (found.file == nullptr) continue;
    const auto stack = matrices_of(change.form, found.tensor->shape);
    if (!stack) continue;
    if (change.form == WeightForm::experts && found.tensor->shape.size() == 2) continue;  // out_in
    const WeightSize size = size_asked(change);
    const bool straight = has_size(*stack, WeightLayout::out_in, size);
    const bool across = has_size(*stack, WeightLayout::in_out, size);
    if (straight && across) square.push_back(&change);
    if (straight == across) continue;
    change.layout = straight ? WeightLayout::out_in : WeightLayout::in_out;
    (stack->count > 1 ? seen_of_experts : seen).insert(change.layout);
  }
  static const std::set<std::string> turned_types = {"gpt2", "openai-gpt", "imagegpt",
                                                     "decision_transformer"};
  static const std::set<std::string> turned_experts = {"gpt_oss"};
  for (Change* change : square) {
    const std::string name = lorma::detail::in_quotes(change->tensor) + " is square, and ";
    if (change->form == WeightForm::experts) {
      if (seen_of_experts.size() == 1) {
        change->layout = *seen_of_experts.begin();
      } else if (turned_experts.contains(base.model_type())) {
        change->layout = WeightLayout::in_out;
      } else {
        problems.push_back(name +
                           "nothing says how it is stored: expected --layout out_in or in_out");
      }
      continue;
    }
    const auto other = change->is_turned() ? WeightLayout::out_in : WeightLayout::in_out;
    const bool by_type =
        other == WeightLayout::in_out && seen.empty() && turned_types.contains(base.model_type());
    if (!seen.contains(other) && !by_type) continue;
    problems.push_back(name +
                       "'fan_in_fan_out' does not agree with the rest of the model: "
                       "expected --layout out_in (PyTorch's Linear) or in_out (Conv1D)");
  }
}

}  // namespace detail

LORMA_MODEL_FUNCTION std::map<std::string, LoraLayout> lora_layouts() {
  return {{"by_shape", LoraLayout::by_shape},
          {"out_in", LoraLayout::out_in},
          {"in_out", LoraLayout::in_out}};
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
