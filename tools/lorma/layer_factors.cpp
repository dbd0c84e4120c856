// SPDX-License-Identifier: Apache-2.0
#include "layer_factors.hpp"

namespace lorma_tool {
namespace {

using lorma::AdditiveFactors;
using lorma::Index;
using lorma::Matrix;

/// ||D - B A||_F / ||D||_F; 0 where D = 0.
double residual_of(const AdditiveFactors& f, const Matrix<double>& change) {
  const double size = change.stableNorm();
  if (size == 0.0) return 0.0;
  // A matrix of its own: stableNorm would evaluate the product once a column.
  const Matrix<double> missed = change - f.B * f.A;
  return missed.stableNorm() / size;
}

AdditiveLayer rounded(const AdditiveFactors& f, const Matrix<double>& change) {
  AdditiveLayer layer{f.B.cast<float>(), f.A.cast<float>()};
  layer.residual = residual_of({layer.B.cast<double>(), layer.A.cast<double>()}, change);
  return layer;
}

}  // namespace

lorma::PlusFactors plus_factors_of(const lorma::LormaLayer& layer) {
  return {layer.scale() * layer.B.cast<double>(), layer.A.cast<double>()};
}

double residual_of(const lorma::LormaLayer& layer, const Matrix<double>& W0,
                   const Matrix<double>& change) {
  const lorma::PlusFactors f = plus_factors_of(layer);
  return residual_of(layer.side == "Pre" ? lorma::to_additive<lorma::Pre>(f, W0)
                                         : lorma::to_additive<lorma::Post>(f, W0),
                     change);
}

AdditiveLayer rounded(const AdditiveFactors& f) {
  return rounded(f, f.B * f.A);
}

AdditiveLayer best_additive(const Matrix<double>& change,
                            const lorma::analysis::Truncation& wanted) {
  const auto svd = lorma::analysis::truncated_svd(change, wanted);
  AdditiveFactors f;
  lorma::analysis::detail::split(svd.U, svd.sigma, svd.V, std::max<Index>(1, svd.sigma.size()), f.B,
                                 f.A);
  return rounded(f, change);
}

}  // namespace lorma_tool
