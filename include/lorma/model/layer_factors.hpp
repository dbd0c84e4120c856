// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_LAYER_FACTORS_HPP
#define LORMA_MODEL_LAYER_FACTORS_HPP

/// Factors of layers as they are written to disk, in float, and what they miss of a change.

#include <algorithm>

#include "lorma/analysis/truncated_svd.hpp"
#include "lorma/convert/lora_exchange.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/lora_layer.hpp"
#include "lorma/model/lorma_directory.hpp"

namespace lorma::inline LORMA_ABI::model {

/// P = I + B A of a LoRMA+ layer as it is written.
LORMA_MODEL_FUNCTION PlusFactors plus_factors_of(const LormaLayer& layer);

/// B A of a LoRA layer of a matrix as it is written, the scale in B.
LORMA_MODEL_FUNCTION PlusFactors additive_factors_of(const LoraLayer& layer);

/// ||D - B A||_F / ||D||_F for the change D of a weight; 0 where D = 0.
LORMA_MODEL_FUNCTION double residual_of(const AdditiveFactors& f, const Matrix<double>& change);
/// ||D - D'||_F / ||D||_F for the change D of W0 and the change D' that a LoRMA+ layer makes of W0;
/// 0 where D = 0.
LORMA_MODEL_FUNCTION double residual_of(const LormaLayer& layer, const Matrix<double>& W0,
                                        const Matrix<double>& change);

/// B A of a LoRA layer as it is written.
struct AdditiveLayer {
  Matrix<float> B, A;
  double residual = 0.0;  ///< what B A misses of the change that it stands for, relative
};

/// Factors of a change, rounded to float.
LORMA_MODEL_FUNCTION AdditiveLayer rounded(const AdditiveFactors& f, const Matrix<double>& change);
/// The best factors of a change; of rank 1 at least, as no LoRA adapter has rank 0.
LORMA_MODEL_FUNCTION AdditiveLayer best_additive(const Matrix<double>& change,
                                                 const analysis::Truncation& wanted);

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION PlusFactors plus_factors_of(const LormaLayer& layer) {
  return {layer.scale() * layer.B.cast<double>(), layer.A.cast<double>()};
}

LORMA_MODEL_FUNCTION PlusFactors additive_factors_of(const LoraLayer& layer) {
  return {layer.scale * layer.B.cast<double>(), layer.A.cast<double>()};
}

LORMA_MODEL_FUNCTION double residual_of(const AdditiveFactors& f, const Matrix<double>& change) {
  const double size = change.stableNorm();
  if (size == 0.0) return 0.0;
  // A matrix of its own: stableNorm would evaluate the product once a column.
  const Matrix<double> missed = change - f.B * f.A;
  return missed.stableNorm() / size;
}

LORMA_MODEL_FUNCTION double residual_of(const LormaLayer& layer, const Matrix<double>& W0,
                                        const Matrix<double>& change) {
  const PlusFactors f = plus_factors_of(layer);
  return residual_of(layer.side == "Pre" ? to_additive<Pre>(f, W0) : to_additive<Post>(f, W0),
                     change);
}

LORMA_MODEL_FUNCTION AdditiveLayer rounded(const AdditiveFactors& f, const Matrix<double>& change) {
  AdditiveLayer layer{f.B.cast<float>(), f.A.cast<float>()};
  layer.residual = residual_of({layer.B.cast<double>(), layer.A.cast<double>()}, change);
  return layer;
}

LORMA_MODEL_FUNCTION AdditiveLayer best_additive(const Matrix<double>& change,
                                                 const analysis::Truncation& wanted) {
  const auto svd = analysis::truncated_svd(change, wanted);
  AdditiveFactors f;
  analysis::detail::split(svd.U, svd.sigma, svd.V, std::max<Index>(1, svd.sigma.size()), f.B, f.A);
  return rounded(f, change);
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
