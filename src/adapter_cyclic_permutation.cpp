// SPDX-License-Identifier: Apache-2.0
// The verbs of adapters with the inflation CyclicPermutation, once for all who link
// lorma::compiled.
#include <lorma/adapter/compiled.hpp>

namespace lorma::inline LORMA_ABI {
LORMA_COMPILED_INFLATION(template, CyclicPermutation, Spectral)
}  // namespace lorma::inline LORMA_ABI
