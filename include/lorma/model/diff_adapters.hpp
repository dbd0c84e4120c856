// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_DIFF_ADAPTERS_HPP
#define LORMA_MODEL_DIFF_ADAPTERS_HPP

/// What differs between two adapters of one kind, by their factors: M = s B A of each layer in one
/// and in the other.

#include <algorithm>
#include <cstdint>
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
#include "lorma/model/lorma_directory.hpp"
#include "lorma/model/monitor.hpp"
#include "lorma/model/peft_lora.hpp"
#include "lorma/model/read_changes.hpp"

namespace lorma::inline LORMA_ABI::model {

/// Whether a directory holds an adapter and no model. Throws Error.
LORMA_MODEL_FUNCTION bool is_adapter_directory(const std::filesystem::path& path);

/// Every layer that differs: ||M_b - M_a||_F / ||M_a||_F and the rank of M_b - M_a. That is the
/// difference of what is added to the weight (LoRA) or of the multipliers (LoRMA+; LoRMA_pi before
/// the rotation of rows). Layers whose inflation, side or size differs are named, not measured;
/// only B, A and scale are compared. Cost O(n r^2) a layer. Throws Error, also for adapters of
/// different kinds.
LORMA_MODEL_FUNCTION std::vector<TensorDifference> diff_adapters(const std::filesystem::path& a,
                                                                 const std::filesystem::path& b,
                                                                 bool with_spectra,
                                                                 const Monitor& monitor = {});

#ifdef LORMA_MODEL_BODIES
namespace detail {

/// A layer of either kind.
struct ComparedLayer {
  std::string kind;     ///< "LoRA", "Identity, Pre"
  PlusFactors factors;  ///< the scale is in B

  std::string shape() const {
    return '[' + std::to_string(factors.B.rows()) + ", " + std::to_string(factors.A.cols()) + ']';
  }
  std::string text() const { return kind + ", rank " + std::to_string(factors.A.rows()); }
};

inline std::map<std::string, ComparedLayer> compared_layers(const std::filesystem::path& adapter) {
  std::map<std::string, ComparedLayer> layers;
  if (is_lorma_adapter(adapter)) {
    for (const LormaLayer& layer : read_lorma_adapter(adapter).layers) {
      layers[layer.key()] = {layer.inflation + ", " + layer.side, plus_factors_of(layer)};
    }
  } else {
    for (const LoraLayer& layer : read_peft_lora(adapter).layers) {
      const char* kind = layer.is_plain() ? "LoRA" : "LoRA of another form";
      layers[layer.module] = {kind, additive_factors_of(layer)};
    }
  }
  return layers;
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
  if (is_lorma_adapter(a) != is_lorma_adapter(b)) {
    throw FormatError("expected two adapters of one kind, got " + adapter_kind(a) + " and " +
                      adapter_kind(b));
  }
  const auto one = detail::compared_layers(a);
  const auto other = detail::compared_layers(b);
  std::vector<TensorDifference> result;
  const auto line = [&](const std::string& name, const detail::ComparedLayer& layer) {
    TensorDifference d;
    d.name = name;
    d.dtype = layer.text();
    d.shape = layer.shape();
    d.relative = std::numeric_limits<double>::quiet_NaN();
    return d;
  };
  for (const auto& [name, before] : one) {
    monitor.check();
    TensorDifference d = line(name, before);
    const auto found = other.find(name);
    if (found == other.end()) {
      d.only_in = "the first";
    } else {
      const detail::ComparedLayer& after = found->second;
      const PlusFactors& f = before.factors;
      const PlusFactors& g = after.factors;
      const bool comparable = before.kind == after.kind && before.shape() == after.shape();
      if (comparable && f.B.cols() == g.B.cols() && f.B == g.B && f.A == g.A) continue;
      if (before.text() != after.text() || before.shape() != after.shape()) {
        d.other = after.text() + ' ' + after.shape();
      }
      if (comparable && f.A.rows() == f.B.cols()) detail::measure(f, g, with_spectra, d);
    }
    result.push_back(std::move(d));
  }
  for (const auto& [name, after] : other) {
    if (one.contains(name)) continue;
    TensorDifference d = line(name, after);
    d.only_in = "the second";
    result.push_back(std::move(d));
  }
  return result;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
