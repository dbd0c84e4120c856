// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_RANKS_HPP
#define LORMA_EXAMPLES_DEMO_RANKS_HPP

/// The questions asked of lorma::analysis; ranks.cpp.

#include "job.hpp"
#include "results.hpp"

namespace demo {

/// Rank and extreme singular values. Throws lorma::NonFinite.
Weight weigh(std::string name, const Matrix& W);

/// ||.||_F^2 of what the best matrix of rank r leaves of `output`.
double beyond_rank(const Matrix& output, Index r);

}  // namespace demo

#endif
