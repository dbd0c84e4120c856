// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_MODEL_HPP
#define LORMA_MODEL_MODEL_HPP

/// Adapters and checkpoints on disk: all of lorma/model.

#include "lorma/model/compose.hpp"
#include "lorma/model/convert.hpp"
#include "lorma/model/diff.hpp"
#include "lorma/model/diff_adapters.hpp"
#include "lorma/model/extract.hpp"
#include "lorma/model/inspect.hpp"
#include "lorma/model/merge.hpp"
#include "lorma/model/visit_layer.hpp"

#endif
