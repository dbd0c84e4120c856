// SPDX-License-Identifier: Apache-2.0
#include "routes.hpp"

namespace lorma::inline LORMA_ABI {
LORMA_TEST_ROUTES(template, float)
LORMA_TEST_ROUTES(template, double)
}  // namespace lorma::inline LORMA_ABI
