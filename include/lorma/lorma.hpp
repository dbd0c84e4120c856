// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_LORMA_HPP
#define LORMA_LORMA_HPP

/// The umbrella: everything that needs Eigen alone.

#include "lorma/adapter/adapter.hpp"
#include "lorma/adapter/composition.hpp"
#include "lorma/analysis/analysis.hpp"
#include "lorma/version.hpp"

#endif
