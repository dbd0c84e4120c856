// SPDX-License-Identifier: Apache-2.0
// The decompositions in double, once for all who link lorma::compiled.

#define LORMA_COMPILING_DECOMPOSITIONS
#include <lorma/core/decompositions.hpp>

namespace lorma::inline LORMA_ABI::detail {

template struct Lu<double>;
template Lu<double> lu(const Matrix<double>&);
template std::optional<Matrix<double>> cholesky(const Matrix<double>&, double);
template Matrix<double> orthonormal(const Matrix<double>&);
template Matrix<double> triangle(const Matrix<double>&);
template void triangle_in_place<double>(Eigen::Ref<Matrix<double>>);
template Matrix<double> compressed_product(const Matrix<double>&, const Matrix<double>&);
template Svd<double> thin_svd(const Matrix<double>&);
template Svd<double> small_svd(const Matrix<double>&);
template Vector<double> singular_values_by_jacobi(const Matrix<double>&);
template Vector<double> singular_values_by_division(const Matrix<double>&);
template Vector<double> singular_values_in_place(Matrix<double>&&);
template Matrix<double> pseudo_inverse(const Matrix<double>&);
template EigenPairs<double> eigen_of_tridiagonal(const Vector<double>&, const Vector<double>&);

}  // namespace lorma::inline LORMA_ABI::detail
