// SPDX-License-Identifier: Apache-2.0
#include "threads.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

#ifdef __GNUC__
extern "C" __attribute__((weak)) void openblas_set_num_threads(int);
#endif

namespace lorma_tool {

void set_own_threads([[maybe_unused]] unsigned count) {
#ifdef _OPENMP
  omp_set_num_threads(static_cast<int>(count));
#endif
}

void set_blas_threads([[maybe_unused]] unsigned count) {
#ifdef __GNUC__
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(static_cast<int>(count));
#endif
}

}  // namespace lorma_tool
