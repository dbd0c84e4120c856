// SPDX-License-Identifier: Apache-2.0
#include "adapters.hpp"

#include <lorma/convert/plus_algebra.hpp>
#include "changes.hpp"
#include "layer_factors.hpp"
#include "stop.hpp"

namespace lorma_tool {
namespace {

namespace fs = std::filesystem;
using lorma::Index;
using lorma::LormaAdapter;
using lorma::LormaLayer;
using lorma::Matrix;
using lorma::PlusFactors;

void require_plus(const LormaLayer& layer, const char* verb) {
  if (is_plus(layer)) return;
  throw lorma::Error(lorma::detail::in_quotes(layer.key()) + ": expected inflation Identity to " +
                     verb + ", got " + layer.inflation + ", which is not closed under it");
}

/// The scale is in B: alpha = r.
void put(const PlusFactors& f, LormaLayer& layer) {
  layer.B = f.B.cast<float>();
  layer.A = f.A.cast<float>();
  layer.alpha = static_cast<double>(f.B.cols());
}

void write(const fs::path& out, const LormaAdapter& adapter, bool dry_run) {
  if (dry_run) return;
  const Writing writing;
  lorma::write_lorma_adapter(out, adapter);
}

}  // namespace

AdapterReport compose(const ComposeOptions& options) {
  require_absent(options.out);
  LormaAdapter result = lorma::read_lorma_adapter(options.first);
  for (LormaLayer& layer : lorma::read_lorma_adapter(options.second).layers) {
    const auto same = std::find_if(result.layers.begin(), result.layers.end(),
                                   [&](const LormaLayer& l) { return l.key() == layer.key(); });
    if (same == result.layers.end()) {
      result.layers.push_back(std::move(layer));
      continue;
    }
    require_plus(*same, "compose");
    require_plus(layer, "compose");
    if (same->side != layer.side || same->layout != layer.layout ||
        same->B.rows() != layer.B.rows()) {
      throw lorma::Error(lorma::detail::in_quotes(layer.key()) +
                         ": expected both adapters to have one side, layout and size, got " +
                         same->side + " of " + std::to_string(same->B.rows()) + " and " +
                         layer.side + " of " + std::to_string(layer.B.rows()));
    }
    // P2 (P1 W0), or (W0 P1) P2.
    const PlusFactors a = plus_factors_of(*same);
    const PlusFactors b = plus_factors_of(layer);
    put(layer.side == "Pre" ? lorma::compose(b, a) : lorma::compose(a, b), *same);
  }
  lorma::detail::throw_problems(options.out, lorma::detail::problems_of(result.layers));
  AdapterReport report;
  for (const LormaLayer& layer : result.layers) {
    report.layers.push_back({layer.key(), layer.A.rows(), 0.0});
  }
  write(options.out, result, options.dry_run);
  return report;
}

AdapterReport resize(const ResizeOptions& options) {
  require_absent(options.out);
  LormaAdapter adapter = lorma::read_lorma_adapter(options.adapter);
  AdapterReport report;
  for (LormaLayer& layer : adapter.layers) {
    require_plus(layer, "resize");
    const PlusFactors f = lorma::with_strength(plus_factors_of(layer), options.strength);
    Index rank = std::min<Index>(options.rank, layer.B.rows());
    if (rank == 0) {
      const Eigen::VectorXd sigma = lorma::with_rank(f, 1).spectrum;
      const double all = sigma.squaredNorm();
      rank = lorma::analysis::detail::smallest_rank(sigma, 0.0, (1.0 - options.energy) * all);
      rank = std::max<Index>(rank, 1);
    }
    const lorma::ChangeOfRank change = lorma::with_rank(f, rank);
    put(change.factors, layer);
    report.layers.push_back({layer.key(), rank, change.dropped});
  }
  write(options.out, adapter, options.dry_run);
  return report;
}

}  // namespace lorma_tool
