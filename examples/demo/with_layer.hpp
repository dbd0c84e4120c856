// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_WITH_LAYER_HPP
#define LORMA_EXAMPLES_DEMO_WITH_LAYER_HPP

/// From a trained method's factors to its layer.

#include "lora.hpp"
#include "lorma/adapter/compiled.hpp"
#include "train.hpp"

namespace demo {

/// Calls f with the Lora or lorma::Adapter that `trained` describes.
template <typename F>
void with_layer(const Trained& trained, F&& f) {
  const Index n = trained.B.rows();
  const auto call = [&](auto layer) {
    layer.A() = trained.A;
    layer.B() = trained.B;
    f(layer);
  };
  switch (trained.kind) {
    case Kind::lora:
      return call(Lora(n, trained.A.cols(), trained.A.rows(), trained.alpha));
    case Kind::none:
      return call(lorma::Adapter<float, lorma::None>(n, trained.A.rows(), trained.alpha));
    case Kind::identity:
      return call(lorma::Adapter<float, lorma::Identity>(n, trained.A.rows(), trained.alpha));
    case Kind::cyclic_permutation:
      return call(
          lorma::Adapter<float, lorma::CyclicPermutation>(n, trained.A.rows(), trained.alpha));
  }
}

}  // namespace demo

#endif
