// SPDX-License-Identifier: Apache-2.0
// The verbs of adapters with the inflation Identity, once for all who link lorma::compiled.
#include <lorma/adapter/compiled.hpp>

namespace lorma::inline LORMA_ABI {
LORMA_COMPILED_INFLATION(template, Identity, Factored)
}  // namespace lorma::inline LORMA_ABI
