// SPDX-License-Identifier: Apache-2.0
// lorma is found, and nothing came with it that was not asked for.
#include <iostream>
#include <lorma/core/types.hpp>
#include <lorma/version.hpp>

#if defined(EIGEN_USE_BLAS) || defined(LORMA_WITH_LAPACKE) || defined(LORMA_WITH_FFTW) || \
    defined(_OPENMP)
#error "an optional part of lorma came unasked"
#endif

int main() {
  std::cout << "lorma " << LORMA_VERSION_STRING << ", " << lorma::Matrix<float>::Zero(2, 3).size()
            << " zeros\n";
}
