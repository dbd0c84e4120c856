// SPDX-License-Identifier: Apache-2.0
#include "train.hpp"

#include "fit.hpp"
#include "lora.hpp"
#include "lorma/adapter/compiled.hpp"

namespace demo {
namespace {

template <typename Layer>
Trained train_layer(Layer layer, const Job& job, const Plan& plan, Progress& progress) {
  Trained trained;
  trained.fits = sweep_and_fit(layer, job, plan, progress);
  trained.A = layer.A();
  trained.B = layer.B();
  typename Layer::Tape tape;
  trained.adapted.resize(job.W0.rows(), job.held_out.X.cols());
  layer.forward_into(trained.adapted, job.W0, job.held_out.X, tape);
  return trained;
}

}  // namespace

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::lora:
      return "LoRA";
    case Kind::none:
      return "None";
    case Kind::identity:
      return "LoRMA+";
    case Kind::cyclic_permutation:
      return "LoRMA_pi";
  }
  return "";
}

Trained train(Kind kind, const Job& job, Index rank, const Plan& plan, Progress& progress) {
  progress.method(name_of(kind));
  const Index n = job.W0.rows();
  const float alpha = static_cast<float>(rank);  // scale 1
  const auto with = [&](auto layer) { return train_layer(layer, job, plan, progress); };
  Trained trained = kind == Kind::lora   ? with(Lora(n, job.W0.cols(), rank, alpha))
                    : kind == Kind::none ? with(lorma::Adapter<float, lorma::None>(n, rank, alpha))
                    : kind == Kind::identity
                        ? with(lorma::Adapter<float, lorma::Identity>(n, rank, alpha))
                        : with(lorma::Adapter<float, lorma::CyclicPermutation>(n, rank, alpha));
  trained.kind = kind;
  trained.alpha = alpha;
  return trained;
}

}  // namespace demo
