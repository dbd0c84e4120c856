// SPDX-License-Identifier: Apache-2.0
// Ranks by inertia and by structure, once for all who link lorma::compiled.

#include <lorma/analysis/certain_rank.hpp>
#include <lorma/operators/shifted_core.hpp>

namespace lorma::inline LORMA_ABI {

template ShiftedCore detail::shifted_core(const PlusFactors&, double);

namespace analysis::detail {

template void add_square(Matrix<double>&, const MatrixView<const double>&);
template std::optional<RankAnswer> rank_by_inertia(Matrix<double>&, Index, Index, double,
                                                   std::optional<double>, ShiftedFactors<double>*);

}  // namespace analysis::detail
}  // namespace lorma::inline LORMA_ABI
