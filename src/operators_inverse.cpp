// SPDX-License-Identifier: Apache-2.0
// P^-1 in double, by structure and by LU, once for all who link lorma::compiled.

#include <lorma/operators/inverse.hpp>

namespace lorma::inline LORMA_ABI::detail {

template class LuInverse<double>;
template double size_of_terms(const MatrixView<const double>&, const MatrixView<const double>&,
                              double, bool, double);
template ShiftedCore shifted_core(const PlusFactors&, double);
template InverseFactors<double> inverse_factors(const Matrix<double>&, const Matrix<double>&,
                                                double);

}  // namespace lorma::inline LORMA_ABI::detail
