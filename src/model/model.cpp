// SPDX-License-Identifier: Apache-2.0
// Adapters and checkpoints, once for all who link it.

#define LORMA_COMPILING_MODEL
#include <lorma/model/model.hpp>
