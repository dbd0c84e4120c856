// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CORE_OPENMP_EXECUTOR_HPP
#define LORMA_CORE_OPENMP_EXECUTOR_HPP

/// OpenMP's threads, as many as Eigen::setNbThreads allows; one inside a parallel region of the
/// caller. The only file that uses OpenMP.

#ifdef _OPENMP
#include <omp.h>

#include <algorithm>

#include "lorma/core/types.hpp"

namespace lorma::inline LORMA_ABI::detail {

inline Index openmp_threads() {
  return omp_in_parallel() ? 1 : std::max<Index>(1, Eigen::nbThreads());
}

template <typename Task>
void openmp_parallel_for(Index count, const Task& task) {
  const int threads = static_cast<int>(std::min(openmp_threads(), count));
#pragma omp parallel for num_threads(threads) schedule(static, 1)
  for (Index i = 0; i < count; ++i) task(i);
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
#endif
