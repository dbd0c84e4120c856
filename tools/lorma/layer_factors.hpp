// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_LAYER_FACTORS_HPP
#define LORMA_TOOLS_LAYER_FACTORS_HPP

/// Factors of layers as they are written to disk, in float, and what they miss of a change.

#include <lorma/analysis/truncated_svd.hpp>
#include <lorma/convert/lora_exchange.hpp>
#include <lorma/io/lorma_directory.hpp>

namespace lorma_tool {

/// P = I + B A of a LoRMA+ layer as it is written.
lorma::PlusFactors plus_factors_of(const lorma::LormaLayer& layer);

/// ||D - reached||_F / ||D||_F for the change D of W0 and what such a layer makes of W0; 0 where
/// D = 0.
double residual_of(const lorma::LormaLayer& layer, const lorma::Matrix<double>& W0,
                   const lorma::Matrix<double>& change);

/// B A of a LoRA layer as it is written.
struct AdditiveLayer {
  lorma::Matrix<float> B, A;
  double residual = 0.0;  ///< relative, of the change that they stand for
};

/// Factors of B A, rounded.
AdditiveLayer rounded(const lorma::AdditiveFactors& f);
/// The best factors of a change; of rank 1 at least, as a LoRA adapter has one.
AdditiveLayer best_additive(const lorma::Matrix<double>& change,
                            const lorma::analysis::Truncation& wanted);

}  // namespace lorma_tool

#endif
