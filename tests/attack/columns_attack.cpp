// SPDX-License-Identifier: Apache-2.0
// Each column of a result is accurate by its own norm, whatever stands beside it.
#include "attack.hpp"
