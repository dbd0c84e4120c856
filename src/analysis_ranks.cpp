// SPDX-License-Identifier: Apache-2.0
// Ranks by inertia, once for all who link lorma::compiled.

#include <lorma/analysis/certain_rank.hpp>

namespace lorma::inline LORMA_ABI::analysis::detail {

template void add_square(Matrix<double>&, const MatrixView<const double>&);
template std::optional<RankAnswer> rank_by_inertia(Matrix<double>&, Index, Index, double,
                                                   std::optional<double>, ShiftedFactors<double>*);

}  // namespace lorma::inline LORMA_ABI::analysis::detail
