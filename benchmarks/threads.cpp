// SPDX-License-Identifier: Apache-2.0
#include "threads.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cstdlib>

#ifdef LORMA_BENCH_TORCH
#include <ATen/Parallel.h>
#endif
#ifdef __GNUC__
extern "C" __attribute__((weak)) void openblas_set_num_threads(int);  // null with another BLAS
#endif

namespace bench {

void use_threads_of_environment() {
  const char* text = std::getenv("OMP_NUM_THREADS");
  const int threads = text == nullptr ? 1 : std::max(1, std::atoi(text));
  Eigen::setNbThreads(threads);  // lorma's default executor asks Eigen
#ifdef __GNUC__
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(threads);
#endif
#ifdef LORMA_BENCH_TORCH
  at::set_num_threads(threads);
#endif
}

}  // namespace bench
