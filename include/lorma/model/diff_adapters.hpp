// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_DIFF_ADAPTERS_HPP
#define LORMA_MODEL_DIFF_ADAPTERS_HPP

/// What differs between two adapters of one kind: M = s B A of each layer in one and in the other,
/// the norms of DoRA, whole tensors.

#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lorma/analysis/rank_report.hpp"
#include "lorma/io/paths.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/diff.hpp"
#include "lorma/model/layer_factors.hpp"
#include "lorma/model/monitor.hpp"
#include "lorma/model/read_changes.hpp"

namespace lorma::inline LORMA_ABI::model {

/// Whether a directory holds an adapter and no model. Throws Error.
LORMA_MODEL_FUNCTION bool is_adapter_directory(const std::filesystem::path& path);

/// Every layer that differs: ||M_b - M_a||_F / ||M_a||_F and the rank of M_b - M_a. That is the
/// difference of what is added to the weight (LoRA, before DoRA's norms) or of the multipliers
/// (LoRMA+; LoRMA_pi before the rotation of rows). Layers whose inflation, side, layout or size
/// differs, and those of several experts, are named, not measured. DoRA's norms are a line of their
/// own, and so is each whole tensor (`modules_to_save`, biases), compared as diff does.
/// Fingerprints and what an adapter leaves open, such as LoRA's layout, are not compared. Cost O(n
/// r^2) a layer. Throws Error, also for adapters of different kinds.
LORMA_MODEL_FUNCTION std::vector<TensorDifference> diff_adapters(const std::filesystem::path& a,
                                                                 const std::filesystem::path& b,
                                                                 bool with_spectra,
                                                                 const Monitor& monitor = {});

#ifdef LORMA_MODEL_BODIES
namespace detail {

/// A part of an adapter that is a product: of a layer's factors, or the norms of DoRA times 1.
struct ComparedProduct {
  std::string kind;           ///< "LoRA", "Identity, Pre"
  PlusFactors factors;        ///< the scale is in B
  bool is_measurable = true;  ///< B A is the change; false: several experts lie beside each other

  std::string shape() const {
    return '[' + std::to_string(factors.B.rows()) + ", " + std::to_string(factors.A.cols()) + ']';
  }
  std::string text() const { return kind + ", rank " + std::to_string(factors.A.rows()); }
  TensorDifference line(const std::string& name) const {
    TensorDifference d;
    d.name = name;
    d.dtype = text();
    d.shape = shape();
    d.relative = std::numeric_limits<double>::quiet_NaN();
    return d;
  }
};

/// An adapter by the names of its parts.
struct ComparedAdapter {
  std::vector<Change> changes;  ///< which hold the files of whole tensors open
  std::map<std::string, ComparedProduct> products;
  std::map<std::string, const Change*> whole;
};

inline ComparedAdapter compared(const std::filesystem::path& adapter) {
  ComparedAdapter result;
  std::vector<std::string> ignored;
  result.changes = read_changes(adapter, ignored);
  for (const Change& change : result.changes) {
    if (change.is_optional) continue;  // a bias's, with the factors of its weight
    if (change.saved) result.whole.emplace(change.tensor, &change);
    const std::string layout = change.is_settled && change.is_turned() ? ", in x out" : "";
    for (const LormaLayer& layer : change.multiply) {
      result.products[layer.key()] = {layer.inflation + ", " + layer.side + layout,
                                      plus_factors_of(layer)};
    }
    if (!change.add) continue;
    const LoraLayer& layer = *change.add;
    const bool is_dora = layer.magnitude.size() > 0;
    const bool has_own_name = layer.form == WeightForm::vector || layer.parameters.size() == 1;
    std::string name = has_own_name ? change.tensor : layer.module;
    // PEFT's own name for one more weight of a module.
    while (result.products.contains(name)) name += ".base_layer";
    result.products[name] = {(is_dora ? "DoRA" : "LoRA") + layout, additive_factors_of(layer),
                             layer.rank == 0 || layer.A.rows() == layer.rank};
    if (!is_dora) continue;
    result.products[name + ".lora_magnitude_vector"] = {
        "norms of DoRA", {layer.magnitude.cast<double>(), Matrix<double>::Ones(1, 1)}};
  }
  return result;
}

/// M_b - M_a = [B_b, -B_a] [A_b; A_a], compressed to at most r_a + r_b rows and columns.
inline void measure(const PlusFactors& a, const PlusFactors& b, bool with_spectra,
                    TensorDifference& d) {
  Matrix<double> left(a.B.rows(), a.B.cols() + b.B.cols());
  left << b.B, -a.B;
  Matrix<double> right(a.A.rows() + b.A.rows(), a.A.cols());
  right << b.A, a.A;
  const Matrix<double> change = lorma::detail::compressed_product(left, right);
  const Matrix<double> before = lorma::detail::compressed_product(a.B, a.A);
  const double size = before.stableNorm();
  d.relative = size > 0.0 ? change.stableNorm() / size : change.stableNorm();
  const Eigen::VectorXd sigma = analysis::singular_values(change);
  const auto judged = Matrix<float>::Zero(a.B.rows(), a.A.cols());
  const auto report = analysis::rank_report_from(sigma, judged);
  d.rank = report.rank;
  d.stable_rank = report.stable_rank;
  if (with_spectra) d.spectrum.assign(sigma.data(), sigma.data() + sigma.size());
}

/// Whether two products differ; what can be told of their difference goes to the line of the first.
inline bool differ(const ComparedProduct& before, const ComparedProduct& after, bool with_spectra,
                   TensorDifference& d) {
  const PlusFactors& f = before.factors;
  const PlusFactors& g = after.factors;
  const bool comparable = before.kind == after.kind && before.shape() == after.shape();
  const bool same_ranks = f.B.cols() == g.B.cols() && f.A.rows() == g.A.rows();
  if (comparable && same_ranks && f.B == g.B && f.A == g.A) return false;
  if (before.text() != after.text() || before.shape() != after.shape()) {
    d.other = after.text() + ' ' + after.shape();
  }
  if (comparable && before.is_measurable && after.is_measurable) measure(f, g, with_spectra, d);
  return true;
}

/// Adds a line for every part that differs, and for one that only one of the two has.
template <typename Part, typename Line, typename Differs>
void compare(const std::map<std::string, Part>& one, const std::map<std::string, Part>& other,
             Line&& line, Differs&& differs, std::vector<TensorDifference>& result) {
  for (const auto& [name, before] : one) {
    TensorDifference d = line(name, before);
    const auto found = other.find(name);
    if (found == other.end()) {
      d.only_in = "the first";
    } else if (!differs(before, found->second, d)) {
      continue;
    }
    result.push_back(std::move(d));
  }
  for (const auto& [name, after] : other) {
    if (one.contains(name)) continue;
    result.push_back(line(name, after));
    result.back().only_in = "the second";
  }
}

}  // namespace detail

LORMA_MODEL_FUNCTION bool is_adapter_directory(const std::filesystem::path& path) {
  using lorma::detail::path_exists;
  return path_exists(path / adapter_config_name) && !path_exists(path / "model.safetensors") &&
         !path_exists(path / "model.safetensors.index.json");
}

LORMA_MODEL_FUNCTION std::vector<TensorDifference> diff_adapters(const std::filesystem::path& a,
                                                                 const std::filesystem::path& b,
                                                                 bool with_spectra,
                                                                 const Monitor& monitor) {
  if (adapter_kind(a) != adapter_kind(b)) {
    throw FormatError("expected two adapters of one kind, got " + adapter_kind(a) + " and " +
                      adapter_kind(b));
  }
  const detail::ComparedAdapter one = detail::compared(a);
  const detail::ComparedAdapter other = detail::compared(b);
  std::vector<TensorDifference> result;
  detail::compare(
      one.products, other.products,
      [](const std::string& name, const detail::ComparedProduct& part) { return part.line(name); },
      [&](const auto& before, const auto& after, TensorDifference& d) {
        monitor.check();
        return detail::differ(before, after, with_spectra, d);
      },
      result);
  detail::compare(
      one.whole, other.whole,
      [](const std::string& name, const Change* change) {
        TensorDifference d = detail::line_of(*change->saved->tensor);
        d.name = name;
        return d;
      },
      [&](const Change* before, const Change* after, TensorDifference& d) {
        monitor.check();
        return detail::differ(*before->file, *before->saved->tensor, *after->file,
                              *after->saved->tensor, with_spectra, monitor, d);
      },
      result);
  return result;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
