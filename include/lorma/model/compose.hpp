// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_COMPOSE_HPP
#define LORMA_MODEL_COMPOSE_HPP

/// LoRMA+ adapters from LoRMA+ adapters, without their base.

#include <algorithm>
#include <string>

#include "lorma/convert/plus_algebra.hpp"
#include "lorma/model/adapter_report.hpp"
#include "lorma/model/apply.hpp"
#include "lorma/model/layer_factors.hpp"
#include "lorma/model/monitor.hpp"

namespace lorma::inline LORMA_ABI::model {

struct ComposeOptions {
  std::filesystem::path first;
  std::filesystem::path second;
  std::filesystem::path out;  ///< a directory that does not exist
  bool dry_run = false;       ///< compute and report, write nothing
};

/// One adapter whose merge is that of `first`, then `second`. A weight, or a slice of one, that
/// only one of them has keeps that one's factors, whatever its inflation. Throws Error where
/// both have a weight and their sides, layouts, slices or inflations do not allow one product.
LORMA_MODEL_FUNCTION AdapterReport compose(const ComposeOptions& options,
                                           const Monitor& monitor = {});

struct ResizeOptions {
  std::filesystem::path adapter;
  std::filesystem::path out;  ///< a directory that does not exist
  std::int64_t rank = 0;      ///< 0: as small as `energy` allows
  double energy = 1.0;        ///< share of ||P - I||_F^2 to keep where rank is 0
  double strength = 1.0;      ///< t of (1 - t) I + t P
  bool dry_run = false;       ///< compute and report, write nothing
};

/// The nearest adapter of another rank or strength. Throws Error for inflations other than
/// Identity.
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

inline void write(const std::filesystem::path& out, const LormaAdapter& adapter, bool dry_run,
                  const Monitor& monitor) {
  if (dry_run) return;
  const Writing writing(monitor);
  write_lorma_adapter(out, adapter);
}

}  // namespace detail

LORMA_MODEL_FUNCTION AdapterReport compose(const ComposeOptions& options, const Monitor& monitor) {
  require_absent(options.out);
  LormaAdapter result = read_lorma_adapter(options.first);
  for (LormaLayer& layer : read_lorma_adapter(options.second).layers) {
    const auto same = std::find_if(result.layers.begin(), result.layers.end(),
                                   [&](const LormaLayer& l) { return l.key() == layer.key(); });
    if (same == result.layers.end()) {
      result.layers.push_back(std::move(layer));
      continue;
    }
    detail::require_plus(*same, "compose");
    detail::require_plus(layer, "compose");
    if (same->side != layer.side || same->layout != layer.layout ||
        same->B.rows() != layer.B.rows()) {
      throw Error(lorma::detail::in_quotes(layer.key()) +
                  ": expected both adapters to have one side, layout and size, got " + same->side +
                  " of " + std::to_string(same->B.rows()) + " and " + layer.side + " of " +
                  std::to_string(layer.B.rows()));
    }
    // P2 (P1 W0), or (W0 P1) P2.
    const PlusFactors a = plus_factors_of(*same);
    const PlusFactors b = plus_factors_of(layer);
    detail::put(layer.side == "Pre" ? lorma::compose(b, a) : lorma::compose(a, b), *same);
  }
  lorma::detail::throw_problems(options.out, lorma::detail::problems_of(result.layers));
  AdapterReport report;
  for (const LormaLayer& layer : result.layers) {
    report.layers.push_back({layer.key(), layer.A.rows(), 0.0});
  }
  detail::write(options.out, result, options.dry_run, monitor);
  return report;
}

LORMA_MODEL_FUNCTION AdapterReport resize(const ResizeOptions& options, const Monitor& monitor) {
  require_absent(options.out);
  LormaAdapter adapter = read_lorma_adapter(options.adapter);
  AdapterReport report;
  for (LormaLayer& layer : adapter.layers) {
    detail::require_plus(layer, "resize");
    const PlusFactors f = with_strength(plus_factors_of(layer), options.strength);
    Index rank = std::min<Index>(options.rank, layer.B.rows());
    if (rank == 0) {
      const Eigen::VectorXd sigma = with_rank(f, 1).spectrum;
      const double all = sigma.squaredNorm();
      rank = analysis::detail::smallest_rank(sigma, 0.0, (1.0 - options.energy) * all);
      rank = std::max<Index>(rank, 1);
    }
    const ChangeOfRank change = with_rank(f, rank);
    detail::put(change.factors, layer);
    report.layers.push_back({layer.key(), rank, change.dropped});
  }
  detail::write(options.out, adapter, options.dry_run, monitor);
  return report;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
