// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_TRAIN_HPP
#define LORMA_EXAMPLES_DEMO_TRAIN_HPP

/// Training a method, and studying what it learned. Apart, so that they compile side by side.

#include "job.hpp"
#include "progress.hpp"
#include "results.hpp"

namespace demo {

enum class Kind : unsigned char { lora, none, identity, cyclic_permutation };

const char* name_of(Kind kind);

/// A trained method: factors of the first start with the chosen rate.
struct Trained {
  Kind kind = Kind::lora;
  Fits fits;
  Matrix A;
  Matrix B;
  float alpha = 1;
  Matrix adapted;  ///< its outputs for the held-out tokens
};

/// Sweeps the rate, then fits from several starts. train.cpp
Trained train(Kind kind, const Job& job, Index rank, const Plan& plan, Progress& progress);

/// Ranks and condition number. ranks.cpp
void study_ranks(const Trained& trained, const Job& job, Method& method);

/// Merges, compares merged with adapted outputs, unmerges, compares the weight with W0; after
/// study_ranks. merging.cpp
void check_merging(const Trained& trained, const Job& job, Method& method);

}  // namespace demo

#endif
