// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_STUDIES_STUDIES_HPP
#define LORMA_EXAMPLES_STUDIES_STUDIES_HPP

/// Questions of the paper, asked of real weights with the training of the demo. Each returns what
/// it measured as JSON; docs/study-*.md says what it means.

#include <nlohmann/json.hpp>

#include "job.hpp"
#include "train.hpp"

namespace studies {

using Json = nlohmann::ordered_json;
using lorma::Index;
using Matrix = demo::Matrix;

inline constexpr demo::Kind kinds[] = {demo::Kind::lora, demo::Kind::none, demo::Kind::identity,
                                       demo::Kind::cyclic_permutation};

/// Ranks of I(BA) and of the weight's change after training, for ranks 1 to 64 of the factors.
Json rank_of_change(const demo::Job& job, const demo::Plan& plan);

/// The same training where W0 has lost its smallest singular values, step by step.
Json deficient_weight(const demo::Job& job, const demo::Plan& plan);

/// Effective ranks, gradients and updates along training.
Json gradient_flow(const demo::Job& job, const demo::Plan& plan);

}  // namespace studies

#endif
