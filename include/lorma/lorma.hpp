// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_LORMA_HPP
#define LORMA_LORMA_HPP

/// The umbrella, which needs Eigen alone: adapters, compositions, and the questions about rank.
/// More instruments are in lorma/analysis/analysis.hpp, files in lorma/io/safetensors.hpp.

#include "lorma/adapter/adapted.hpp"
#include "lorma/adapter/compiled.hpp"
#include "lorma/adapter/composition.hpp"
#include "lorma/adapter/mixed_batch.hpp"
#include "lorma/analysis/adapter_rank.hpp"
#include "lorma/analysis/numerical_rank.hpp"
#include "lorma/analysis/rank_report.hpp"
#include "lorma/analysis/spectrum_measures.hpp"
#include "lorma/version.hpp"

#endif
