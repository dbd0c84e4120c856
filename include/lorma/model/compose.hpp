// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_COMPOSE_HPP
#define LORMA_MODEL_COMPOSE_HPP

/// Adapters from adapters, without their base: several in one, and one of another rank or strength.

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lorma/convert/plus_algebra.hpp"
#include "lorma/model/adapter_report.hpp"
#include "lorma/model/apply.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/layer_factors.hpp"
#include "lorma/model/monitor.hpp"
#include "lorma/model/peft_lora.hpp"
#include "lorma/model/read_changes.hpp"
#include "lorma/model/request.hpp"

namespace lorma::inline LORMA_ABI::model {

struct ComposeOptions {
  std::vector<std::filesystem::path> adapters;  ///< in the order of merging, all of one kind
  std::filesystem::path out;                    ///< a directory that does not exist
  bool dry_run = false;                         ///< compute and report, write nothing
};

/// One adapter whose merge is that of all, one after the other: LoRA adapters add up, LoRMA+
/// adapters compose. A weight, or a slice of one, that only one of them has keeps that one's
/// factors, whatever its inflation. Throws Error where several have a weight and their sides,
/// layouts, slices or inflations do not allow one product, for adapters of different kinds, and for
/// whole tensors.
LORMA_MODEL_FUNCTION AdapterReport compose(const ComposeOptions& options,
                                           const Monitor& monitor = {});

struct ResizeOptions {
  std::filesystem::path adapter;
  std::filesystem::path out;  ///< a directory that does not exist
  std::int64_t rank = 0;      ///< 0: as small as `energy` allows
  double energy = 1.0;        ///< share of the squared change to keep where rank is 0
  double strength = 1.0;      ///< t of (1 - t) I + t P, or of t B A
  bool dry_run = false;       ///< compute and report, write nothing
};

/// The adapter of another rank or strength that is nearest to P (LoRMA+) or B A (LoRA). Cost
/// O(n r^2) a layer. Throws Error for inflations other than Identity, LoRA that is not plain, and
/// whole tensors.
LORMA_MODEL_FUNCTION AdapterReport resize(const ResizeOptions& options,
                                          const Monitor& monitor = {});

#ifdef LORMA_MODEL_BODIES
namespace detail {

inline void require_plus(const LormaLayer& layer, const char* verb) {
  if (is_plus(layer)) return;
  throw Error(lorma::detail::in_quotes(layer.key()) + ": expected inflation Identity to " + verb +
              ", got " + layer.inflation + ", which is not closed under it");
}

/// The scale is in B: alpha = r.
inline void put(const PlusFactors& f, LormaLayer& layer) {
  layer.B = f.B.cast<float>();
  layer.A = f.A.cast<float>();
  layer.alpha = static_cast<double>(f.B.cols());
}

inline void put(const PlusFactors& f, LoraLayer& layer) {
  layer.B = f.B.cast<float>();
  layer.A = f.A.cast<float>();
  layer.alpha = static_cast<double>(f.B.cols());
  layer.scale = 1.0;
}

inline void require_plain(const LoraLayer& layer, const char* verb) {
  if (layer.is_plain()) return;
  throw Error(lorma::detail::in_quotes(layer.module) + ": expected plain LoRA of a matrix to " +
              verb);
}

/// `next` applied after `same`, in one layer.
inline void compose_into(LormaLayer& same, const LormaLayer& next) {
  require_plus(same, "compose");
  require_plus(next, "compose");
  if (same.side != next.side || same.layout != next.layout || same.B.rows() != next.B.rows()) {
    throw Error(lorma::detail::in_quotes(next.key()) +
                ": expected all adapters to have one side, layout and size, got " + same.side +
                " of " + std::to_string(same.B.rows()) + " and " + next.side + " of " +
                std::to_string(next.B.rows()));
  }
  // P2 (P1 W0), or (W0 P1) P2.
  const PlusFactors a = plus_factors_of(same);
  const PlusFactors b = plus_factors_of(next);
  put(next.side == "Pre" ? lorma::compose(b, a) : lorma::compose(a, b), same);
}

/// The sum of both: [B1 B2] [A1; A2].
inline void compose_into(LoraLayer& same, const LoraLayer& next) {
  require_plain(same, "compose");
  require_plain(next, "compose");
  if (same.B.rows() != next.B.rows() || same.A.cols() != next.A.cols()) {
    throw Error(lorma::detail::in_quotes(next.module) +
                ": expected all adapters to have one size, got " +
                lorma::detail::shape(same.B.rows(), same.A.cols()) + " and " +
                lorma::detail::shape(next.B.rows(), next.A.cols()));
  }
  const PlusFactors a = additive_factors_of(same);
  const PlusFactors b = additive_factors_of(next);
  PlusFactors sum{Matrix<double>(a.B.rows(), a.B.cols() + b.B.cols()),
                  Matrix<double>(a.A.rows() + b.A.rows(), a.A.cols())};
  sum.B << a.B, b.B;
  sum.A << a.A, b.A;
  put(sum, same);
}

inline std::string name_of(const LormaLayer& layer) {
  return layer.key();
}
inline std::string name_of(const LoraLayer& layer) {
  return layer.module;
}

/// Layers of one name are composed, others appended.
template <typename Layer>
void compose_layers(std::vector<Layer>& result, std::vector<Layer>&& next) {
  std::map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < result.size(); ++i) places.emplace(name_of(result[i]), i);
  for (Layer& layer : next) {
    const auto same = places.find(name_of(layer));
    if (same == places.end()) {
      result.push_back(std::move(layer));
    } else {
      compose_into(result[same->second], layer);
    }
  }
}

/// Of another rank, at another strength.
template <typename Layer>
void resize_layer(const PlusFactors& factors, const ResizeOptions& options, Layer& layer,
                  AdapterReport& report) {
  const PlusFactors f = with_strength(factors, options.strength);
  Index rank = std::min({Index(options.rank), f.B.rows(), f.A.cols()});
  if (rank == 0) {
    const Eigen::VectorXd sigma = with_rank(f, 1).spectrum;
    const double all = sigma.squaredNorm();
    rank = analysis::detail::smallest_rank(sigma, 0.0, (1.0 - options.energy) * all);
    rank = std::max<Index>(rank, 1);
  }
  const ChangeOfRank change = with_rank(f, rank);
  put(change.factors, layer);
  report.layers.push_back({name_of(layer), rank, change.dropped});
}

/// Writes the one of the two that was made.
inline void write_either(const std::filesystem::path& out, bool is_lorma,
                         const LormaAdapter& multiplicative, PeftLora& lora,
                         const Monitor& monitor) {
  const Writing writing(monitor);
  if (is_lorma) {
    write_lorma_adapter(out, multiplicative);
  } else {
    make_portable(lora);
    write_peft_lora(out, lora);
  }
}

}  // namespace detail

LORMA_MODEL_FUNCTION AdapterReport compose(const ComposeOptions& options, const Monitor& monitor) {
  AdapterReport report;
  if (!options.dry_run) check_adapter_output(options.out, monitor, report.remarks);
  if (options.adapters.empty()) throw Error("expected adapters to compose, got none");
  const bool is_lorma = is_lorma_adapter(options.adapters.front());
  LormaAdapter multiplicative;
  PeftLora lora;
  for (const std::filesystem::path& path : options.adapters) {
    monitor.check();
    if (is_lorma_adapter(path) != is_lorma) {
      throw FormatError(lorma::detail::in_quotes(path.string(), 1024) +
                        ": expected all adapters to be of one kind, got another peft_type");
    }
    const bool is_first = &path == &options.adapters.front();
    if (is_lorma) {
      LormaAdapter next = read_lorma_adapter(path);
      lorma::detail::require_no_saved(next.saved, path, "be composed");
      if (is_first) multiplicative.base_model = next.base_model;
      detail::compose_layers(multiplicative.layers, std::move(next.layers));
    } else {
      PeftLora next = read_peft_lora(path);
      lorma::detail::require_no_saved(next.saved, path, "be composed");
      if (is_first) {
        lora.base_model = next.base_model;
        lora.task_type = next.task_type;
        lora.fan_in_fan_out = next.fan_in_fan_out;
      } else if (lora.fan_in_fan_out != next.fan_in_fan_out) {
        throw FormatError(lorma::detail::in_quotes(path.string(), 1024) +
                          ": expected all adapters to have one 'fan_in_fan_out'");
      }
      detail::compose_layers(lora.layers, std::move(next.layers));
    }
  }
  lorma::detail::throw_problems(options.out, lorma::detail::problems_of(multiplicative.layers));
  for (const LormaLayer& layer : multiplicative.layers) {
    report.layers.push_back({layer.key(), layer.A.rows(), 0.0});
  }
  for (const LoraLayer& layer : lora.layers) {
    report.layers.push_back({layer.module, layer.A.rows(), 0.0});
  }
  if (options.dry_run) return report;
  detail::write_either(options.out, is_lorma, multiplicative, lora, monitor);
  return report;
}

LORMA_MODEL_FUNCTION AdapterReport resize(const ResizeOptions& options, const Monitor& monitor) {
  AdapterReport report;
  if (!options.dry_run) check_adapter_output(options.out, monitor, report.remarks);
  LormaAdapter multiplicative;
  PeftLora lora;
  const bool is_lorma = is_lorma_adapter(options.adapter);
  if (is_lorma) {
    multiplicative = read_lorma_adapter(options.adapter);
    lorma::detail::require_no_saved(multiplicative.saved, options.adapter, "be resized");
    for (LormaLayer& layer : multiplicative.layers) {
      detail::require_plus(layer, "resize");
      detail::resize_layer(plus_factors_of(layer), options, layer, report);
      monitor.check();
    }
  } else {
    lora = read_peft_lora(options.adapter);
    lorma::detail::require_no_saved(lora.saved, options.adapter, "be resized");
    for (LoraLayer& layer : lora.layers) {
      detail::require_plain(layer, "resize");
      detail::resize_layer(additive_factors_of(layer), options, layer, report);
      monitor.check();
    }
  }
  warn_of_residuals(report);
  if (options.dry_run) return report;
  detail::write_either(options.out, is_lorma, multiplicative, lora, monitor);
  return report;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
