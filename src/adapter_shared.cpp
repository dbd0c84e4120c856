// SPDX-License-Identifier: Apache-2.0
// What adapters of every inflation share, once for all who link lorma::compiled.
#include <lorma/adapter/compiled.hpp>

namespace lorma::inline LORMA_ABI {
template class BasicWorkspace<HostMemory>;
template void detail::refuse_shape<ShapeError>(std::string_view, std::string_view, Index, Index,
                                               Index, Index);
LORMA_COMPILED_SHARED(template, float)
LORMA_COMPILED_SHARED(template, double)
}  // namespace lorma::inline LORMA_ABI
