// SPDX-License-Identifier: Apache-2.0
// Factors from weights and from factors, once for all who link lorma::compiled.

#include <lorma/analysis/extract.hpp>
#include <lorma/convert/lora_exchange.hpp>
#include <lorma/convert/plus_algebra.hpp>

namespace lorma::inline LORMA_ABI {
namespace analysis {

template class PseudoInverse<double>;

namespace detail {

template TruncatedSvd truncated_svd(const Matrix<double>&, double, const Truncation&);
template void split(const Matrix<double>&, const Vector<double>&, const Matrix<double>&, Index,
                    Matrix<double>&, Matrix<double>&);
template Matrix<double> reachable_part(const PseudoInverse<double>&, const Matrix<double>&, Reach&);
template ExtractedFactors extract_left(const PseudoInverse<double>&, const Matrix<double>&,
                                       const Truncation&, Index);

}  // namespace detail
}  // namespace analysis

template ChangeOfRank with_rank<double>(const PlusFactors&, Index);
template double detail::product_norm(const Matrix<double>&, const Matrix<double>&);

}  // namespace lorma::inline LORMA_ABI
