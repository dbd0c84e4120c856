// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_BENCHMARKS_THREADS_HPP
#define LORMA_BENCHMARKS_THREADS_HPP

namespace bench {

/// OMP_NUM_THREADS for everyone: Eigen, lorma, OpenBLAS and PyTorch. 1 when it is not set.
void use_threads_of_environment();

}  // namespace bench

#endif
