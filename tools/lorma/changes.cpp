// SPDX-License-Identifier: Apache-2.0
#include "changes.hpp"

#include <lorma/adapter/by_name.hpp>
#include <map>
#include <set>
#include <sstream>

#include "stored_weight.hpp"

namespace lorma_tool {
namespace {

namespace fs = std::filesystem;
using lorma::Index;
using lorma::LoraLayer;
using lorma::LormaLayer;
using lorma::Matrix;
using lorma::RowMajorMatrix;

template <typename S>
void add(const LoraLayer& layer, const Application& how, bool turned, RowMajorMatrix<S>& W) {
  const double scale = (how.undo ? -1.0 : 1.0) * how.strength * layer.scale;
  const Matrix<S> B = (scale * layer.B.template cast<double>()).template cast<S>();
  const Matrix<S> A = layer.A.template cast<S>();
  const double before = how.undo ? static_cast<double>(W.stableNorm()) : 0.0;
  if (turned) {
    W.noalias() += A.transpose() * B.transpose();
  } else {
    W.noalias() += B * A;
  }
  if (!how.undo) return;
  // What was rounded away beside a large change does not come back.
  const double after = static_cast<double>(W.stableNorm());
  if (before == 0.0 || how.epsilon * before < after) return;
  std::ostringstream text;
  text << lorma::detail::in_quotes(layer.module) << ": expected a weight that the change leaves "
       << "digits of, got one of norm " << before << " (eps " << how.epsilon << ") and norm "
       << after << " without the change: no digit would come back";
  throw lorma::RankDeficient(text.str());
}

/// Why the change does not fit the tensor; empty when it does.
std::string misfit(const Change& change, const lorma::StoredTensor& tensor) {
  const std::string name = lorma::detail::in_quotes(change.tensor) + ": ";
  if (!has_arithmetic(tensor.dtype)) {
    return name + "expected type F64, F32, F16 or BF16, got " +
           std::string(lorma::dtype_name(tensor.dtype));
  }
  if (tensor.shape.size() != 2) {
    return name + "expected a 2-D tensor, got shape " + lorma::detail::shape_text(tensor.shape);
  }
  const bool turned = change.is_turned();
  const auto d = static_cast<Index>(tensor.shape[turned ? 1 : 0]);
  const auto k = static_cast<Index>(tensor.shape[turned ? 0 : 1]);
  const auto wrong = [&](const std::string& wanted) {
    return name + "expected a weight with " + wanted + ", got shape " +
           lorma::detail::shape_text(tensor.shape) + (turned ? " (in x out)" : "");
  };
  if (change.add) {
    if (change.add->B.rows() == d && change.add->A.cols() == k) return "";
    return wrong(std::to_string(change.add->B.rows()) + " outputs and " +
                 std::to_string(change.add->A.cols()) + " inputs");
  }
  for (const LormaLayer& layer : change.multiply) {
    const Index n = layer.B.rows();
    const lorma::OutputSlice& slice = layer.outputs;
    if (slice.first + slice.count > d) {
      return wrong(std::to_string(slice.first + slice.count) + " outputs or more");
    }
    if (layer.side == "Post" && n != k) return wrong(std::to_string(n) + " inputs");
    if (layer.side == "Pre" && slice.is_whole() && n != d) {
      return wrong(std::to_string(n) + " outputs");
    }
  }
  return "";
}

/// A prefix that every tensor of the changes has too much, or too little.
struct Prefix {
  std::string text;
  bool is_extra = false;

  std::string of(const std::string& tensor) const {
    if (!is_extra) return text + tensor;
    return tensor.starts_with(text) ? tensor.substr(text.size()) : tensor;
  }
};

/// The prefix with which the tensors of all changes are in the base, where there is exactly one.
std::optional<Prefix> find_prefix(const Checkpoint& base, const std::vector<Change>& changes) {
  const std::string& first = changes.front().tensor;
  std::vector<Prefix> candidates;
  for (std::size_t dot = first.find('.'); dot != first.npos; dot = first.find('.', dot + 1)) {
    candidates.push_back({first.substr(0, dot + 1), true});
  }
  for (const auto& file : base.files()) {
    for (const lorma::StoredTensor& tensor : file->tensors()) {
      const std::string& name = tensor.name;
      if (name.size() > first.size() + 1 && name.ends_with('.' + first)) {
        candidates.push_back({name.substr(0, name.size() - first.size()), false});
      }
    }
  }
  std::optional<Prefix> result;
  for (const Prefix& prefix : candidates) {
    const bool all = std::all_of(changes.begin(), changes.end(), [&](const Change& change) {
      return base.find(prefix.of(change.tensor)).file != nullptr;
    });
    if (!all) continue;
    if (result) return std::nullopt;
    result = prefix;
  }
  return result;
}

void settle_names(const Checkpoint& base, std::vector<Change>& changes,
                  std::vector<std::string>& remarks) {
  const bool known = std::all_of(changes.begin(), changes.end(), [&](const Change& change) {
    return !change.add || base.find(change.tensor).file != nullptr;
  });
  if (known) return;
  const std::optional<Prefix> prefix = find_prefix(base, changes);
  if (!prefix) return;  // what is missing will be said
  for (Change& change : changes) change.tensor = prefix->of(change.tensor);
  remarks.push_back("the adapter's modules have the prefix " +
                    lorma::detail::in_quotes(prefix->text) +
                    (prefix->is_extra ? ", which the base's tensors lack"
                                      : " in the base, which the adapter's names lack"));
}

/// Where a square weight leaves it open, the configuration's word counts, unless weights that are
/// not square, or the model's type, speak against it: PEFT sets the field for the last module
/// alone.
void settle_layouts(const Checkpoint& base, std::vector<Change>& changes, LoraLayout wanted,
                    std::vector<std::string>& problems) {
  using lorma::WeightLayout;
  std::set<WeightLayout> seen;
  std::vector<const Change*> square;
  for (Change& change : changes) {
    if (!change.add) continue;
    if (wanted != LoraLayout::by_shape) {
      change.layout = wanted == LoraLayout::in_out ? WeightLayout::in_out : WeightLayout::out_in;
      continue;
    }
    const Checkpoint::Found found = base.find(change.tensor);
    if (found.file == nullptr || found.tensor->shape.size() != 2) continue;
    const auto d = static_cast<std::uint64_t>(change.add->B.rows());
    const auto k = static_cast<std::uint64_t>(change.add->A.cols());
    if (d == k) {
      square.push_back(&change);
    } else if (found.tensor->shape[0] == d && found.tensor->shape[1] == k) {
      seen.insert(change.layout = WeightLayout::out_in);
    } else if (found.tensor->shape[0] == k && found.tensor->shape[1] == d) {
      seen.insert(change.layout = WeightLayout::in_out);
    }
  }
  static const std::set<std::string> turned_types = {"gpt2", "openai-gpt", "imagegpt",
                                                     "decision_transformer"};
  for (const Change* change : square) {
    const auto other = change->is_turned() ? WeightLayout::out_in : WeightLayout::in_out;
    const bool by_type =
        other == WeightLayout::in_out && seen.empty() && turned_types.contains(base.model_type());
    if (!seen.contains(other) && !by_type) continue;
    problems.push_back(
        lorma::detail::in_quotes(change->tensor) +
        " is square, and 'fan_in_fan_out' does not agree with the rest of the model: "
        "expected --layout out_in (PyTorch's Linear) or in_out (Conv1D)");
  }
}

}  // namespace

std::string Change::text() const {
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

std::map<std::string, LoraLayout> lora_layouts() {
  return {{"by_shape", LoraLayout::by_shape},
          {"out_in", LoraLayout::out_in},
          {"in_out", LoraLayout::in_out}};
}

bool is_lorma_adapter(const fs::path& directory) {
  const fs::path config = directory / lorma::adapter_config_name;
  const auto json = lorma::detail::read_json_object(config);
  return lorma::detail::JsonFields(config, json.value).text("peft_type") == "LORMA";
}

std::vector<Change> read_changes(const fs::path& directory, std::vector<std::string>& remarks) {
  std::vector<Change> changes;
  if (is_lorma_adapter(directory)) {
    std::map<std::string, std::size_t> place;
    for (LormaLayer& layer : lorma::read_lorma_adapter(directory).layers) {
      const auto [entry, is_new] = place.try_emplace(layer.weight, changes.size());
      if (is_new) changes.push_back({layer.weight, layer.layout, layer.fingerprint, {}, {}});
      changes[entry->second].multiply.push_back(std::move(layer));
    }
    return changes;
  }
  lorma::PeftLora lora = lorma::read_peft_lora(directory);
  const auto layout =
      lora.fan_in_fan_out ? lorma::WeightLayout::in_out : lorma::WeightLayout::out_in;
  for (LoraLayer& layer : lora.layers) {
    changes.push_back({layer.module + ".weight", layout, "", {}, std::move(layer)});
  }
  for (const std::string& name : lora.unmatched) {
    remarks.push_back("'target_modules' names " + lorma::detail::in_quotes(name) +
                      ", for which the adapter has no tensors");
  }
  return changes;
}

std::vector<Target> fit(const Checkpoint& base, std::vector<Change>& changes, LoraLayout layout,
                        std::vector<std::string>& remarks) {
  settle_names(base, changes, remarks);
  std::vector<std::string> problems;
  settle_layouts(base, changes, layout, problems);
  std::vector<Target> targets;
  for (const Change& change : changes) {
    const Checkpoint::Found found = base.find(change.tensor);
    if (found.file == nullptr) {
      problems.push_back("the base has no tensor " + lorma::detail::in_quotes(change.tensor));
    } else if (std::string why = misfit(change, *found.tensor); !why.empty()) {
      problems.push_back(std::move(why));
    } else {
      targets.push_back({&change, found.file, found.tensor});
    }
  }
  if (problems.empty()) return targets;
  throw lorma::FormatError("the adapter does not fit the base: " + lorma::detail::listed(problems));
}

void check_fingerprint(const Change& change, const lorma::StoredTensor& tensor, bool any_base) {
  if (any_base || change.fingerprint.empty()) return;
  const std::string here = lorma::fingerprint(tensor);
  if (here == change.fingerprint) return;
  throw lorma::FormatError(lorma::detail::in_quotes(change.tensor) +
                           ": the adapter was made for a weight " +
                           lorma::detail::in_quotes(change.fingerprint) + ", this one is " +
                           lorma::detail::in_quotes(here) + " (--any-base takes it all the same)");
}

void check_application(const Change& change, const Application& how) {
  if (!how.undo || how.strength == 1.0) return;
  for (const LormaLayer& layer : change.multiply) {
    if (is_plus(layer)) continue;
    throw lorma::Error(lorma::detail::in_quotes(layer.key()) +
                       ": expected inflation Identity to undo a strength other than 1, got " +
                       layer.inflation);
  }
}

bool is_plus(const LormaLayer& layer) {
  bool plus = false;
  lorma::detail::visit_name(lorma::AllInflations{}, "inflation", layer.inflation, [&](auto type) {
    plus = lorma::IsPlus<typename decltype(type)::type>;
  });
  return plus;
}

template <typename S>
void multiply(const LormaLayer& layer, const Application& how, const lorma::MatrixView<S>& W) {
  lorma::visit_adapter<S>({.inflation = layer.inflation, .side = layer.side}, [&](auto type) {
    using Adapter = typename decltype(type)::type;
    constexpr bool plus = lorma::IsPlus<typename Adapter::Inflation>;
    const double t = plus ? how.strength : 1.0;  // (1 - t) I + t (I + s B A) = I + t s B A
    const Matrix<S> B = (t * layer.B.template cast<double>()).template cast<S>();
    const Matrix<S> A = layer.A.template cast<S>();
    const lorma::AdapterView<S, typename Adapter::Inflation, lorma::Auto, typename Adapter::Side>
        adapter(B, A, static_cast<S>(layer.alpha) / static_cast<S>(A.rows()));
    lorma::Workspace workspace;
    if (how.undo) {
      return adapter.unmerge_in_place(W, workspace, lorma::Finiteness::unchecked, how.epsilon);
    }
    if (plus || how.strength == 1.0) return adapter.merge_in_place(W, workspace);
    lorma::visit_eigen(W, [&](auto w) {
      const Matrix<S> old = w;
      adapter.merge_in_place(W, workspace);
      w = static_cast<S>(1.0 - how.strength) * old + static_cast<S>(how.strength) * w;
    });
  });
}

template void multiply(const LormaLayer&, const Application&, const lorma::MatrixView<float>&);
template void multiply(const LormaLayer&, const Application&, const lorma::MatrixView<double>&);

template <typename S>
void apply(const Change& change, const Application& how, RowMajorMatrix<S>& W) {
  if (how.strength == 0.0) return;
  const bool turned = change.is_turned();
  if (change.add) return add(*change.add, how, turned, W);
  auto all = lorma::view_of(W);
  if (turned) all = all.transposed();
  for (const LormaLayer& layer : change.multiply) {
    const lorma::OutputSlice& outputs = layer.outputs;
    multiply(layer, how, outputs.is_whole() ? all : all.row_range(outputs.first, outputs.count));
  }
}

template void apply(const Change&, const Application&, RowMajorMatrix<float>&);
template void apply(const Change&, const Application&, RowMajorMatrix<double>&);

}  // namespace lorma_tool
