// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_ANALYSIS_HPP
#define LORMA_ANALYSIS_ANALYSIS_HPP

/// Facade of rank analysis; extreme_singular_values.hpp, which needs Spectra, is not part of it.

#include "lorma/analysis/adapter_rank.hpp"
#include "lorma/analysis/extract.hpp"
#include "lorma/analysis/find_multiplier.hpp"
#include "lorma/analysis/inflation_report.hpp"
#include "lorma/analysis/multiplier_spectrum.hpp"
#include "lorma/analysis/numerical_rank.hpp"
#include "lorma/analysis/pseudo_inverse.hpp"
#include "lorma/analysis/rank_report.hpp"
#include "lorma/analysis/singular_values.hpp"
#include "lorma/analysis/spectrum_measures.hpp"
#include "lorma/analysis/training_recorder.hpp"
#include "lorma/analysis/truncated_svd.hpp"

#endif
