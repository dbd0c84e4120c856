// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_VISIT_LAYER_HPP
#define LORMA_MODEL_VISIT_LAYER_HPP

/// Layers of an adapter on disk as adapters of their static type, and back.
///
///   for (const LormaLayer& layer : read_lorma_adapter("adapter").layers) {
///     visit_layer<float>(layer, [&](const auto& adapter) { H = adapter.forward(W0, X); });
///   }
///   LormaLayer layer = layer_of(adapter, "encoder.layer.0.output.dense.weight");
///
/// The function is instantiated for every inflation of the list and both sides. With an inflation
/// of your own: visit_layer<float, TypeList<Identity, Mine>>(layer, f).

#include <string>
#include <utility>

#include "lorma/adapter/by_name.hpp"
#include "lorma/model/lorma_directory.hpp"

namespace lorma::inline LORMA_ABI {

/// Calls f with the layer as an Adapter<S, Inflation, Auto, Side> that owns its factors. Throws
/// Error for a name that no list has, ShapeError where B and A do not fit.
template <typename S = float, typename Inflations = AllInflations, typename F>
requires ComputeScalar<S>
void visit_layer(const LormaLayer& layer, F&& f) {
  visit_adapter<S, Inflations>({.inflation = layer.inflation, .side = layer.side}, [&](auto type) {
    typename decltype(type)::type adapter(layer.B.rows(), layer.B.cols(),
                                          static_cast<S>(layer.alpha));
    adapter.set_factors(layer.B.cast<S>(), layer.A.cast<S>());
    f(adapter);
  });
}

/// An adapter as the layer of a weight: its factors in float, the names of its policies. What else
/// a layer says (outputs, layout, fingerprint) is the caller's to add.
template <typename AnAdapter>
LormaLayer layer_of(const AnAdapter& adapter, std::string weight) {
  LormaLayer layer;
  layer.weight = std::move(weight);
  layer.inflation = AnAdapter::Inflation::name;
  layer.side = AnAdapter::Side::name;
  layer.B = adapter.B().template cast<float>();
  layer.A = adapter.A().template cast<float>();
  layer.alpha = static_cast<double>(adapter.alpha());
  return layer;
}

}  // namespace lorma::inline LORMA_ABI

#endif
