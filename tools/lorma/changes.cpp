// SPDX-License-Identifier: Apache-2.0
#include "changes.hpp"

#include <lorma/adapter/by_name.hpp>
#include <map>

#include "stored_weight.hpp"

namespace lorma_tool {
namespace {

namespace fs = std::filesystem;
using lorma::Index;
using lorma::LoraLayer;
using lorma::LormaLayer;
using lorma::Matrix;
using lorma::RowMajorMatrix;

bool scales_with_strength(const LormaLayer& layer) {
  return layer.inflation == "Identity";  // (1 - t) I + t (I + s B A) = I + t s B A
}

template <typename S, typename Block>
void multiply(const LormaLayer& layer, const Application& how, Block&& W) {
  lorma::visit_adapter<S>({.inflation = layer.inflation, .side = layer.side}, [&](auto type) {
    using Adapter = typename decltype(type)::type;
    Adapter adapter(layer.B.rows(), layer.B.cols(), static_cast<S>(layer.alpha));
    const double t = scales_with_strength(layer) ? how.strength : 1.0;
    adapter.set_factors((t * layer.B.template cast<double>()).template cast<S>(),
                        layer.A.template cast<S>());
    if (how.undo) return adapter.unmerge_in_place(W);
    if (scales_with_strength(layer) || how.strength == 1.0) return adapter.merge_in_place(W);
    const Matrix<S> old = W;
    adapter.merge_in_place(W);
    W = static_cast<S>(1.0 - how.strength) * old + static_cast<S>(how.strength) * W;
  });
}

template <typename S>
void add(const LoraLayer& layer, const Application& how, bool turned, RowMajorMatrix<S>& W) {
  const double scale = (how.undo ? -1.0 : 1.0) * how.strength * layer.scale;
  const Matrix<S> B = (scale * layer.B.template cast<double>()).template cast<S>();
  const Matrix<S> A = layer.A.template cast<S>();
  if (turned) {
    W.noalias() += A.transpose() * B.transpose();
  } else {
    W.noalias() += B * A;
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

bool is_lorma_adapter(const fs::path& directory) {
  const fs::path config = directory / lorma::adapter_config_name;
  const auto json = lorma::detail::read_json_object(config);
  return lorma::detail::JsonFields(config, json.value).text("peft_type") == "LORMA";
}

std::vector<Change> read_changes(const fs::path& directory) {
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
  return changes;
}

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
    if (scales_with_strength(layer)) continue;
    throw lorma::Error(lorma::detail::in_quotes(layer.key()) +
                       ": expected inflation Identity to undo a strength other than 1, got " +
                       layer.inflation);
  }
}

template <typename S>
void apply(const Change& change, const Application& how, RowMajorMatrix<S>& W) {
  if (how.strength == 0.0) return;
  const bool turned = change.is_turned();
  if (change.add) return add(*change.add, how, turned, W);
  for (const LormaLayer& layer : change.multiply) {
    const bool whole = layer.outputs.is_whole();
    const Index first = layer.outputs.first;
    if (turned) {
      const Index count = whole ? W.cols() : layer.outputs.count;
      multiply<S>(layer, how, W.middleCols(first, count).transpose());
    } else {
      const Index count = whole ? W.rows() : layer.outputs.count;
      multiply<S>(layer, how, W.middleRows(first, count));
    }
  }
}

template void apply(const Change&, const Application&, RowMajorMatrix<float>&);
template void apply(const Change&, const Application&, RowMajorMatrix<double>&);

}  // namespace lorma_tool
