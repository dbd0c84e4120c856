// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_THREADS_HPP
#define LORMA_TOOLS_THREADS_HPP

/// Cores among tensors: several are worked on at a time, and each product gets its share.

#include <algorithm>
#include <thread>

namespace lorma_tool {

struct ThreadShare {
  unsigned workers = 1;  ///< tensors at a time
  unsigned each = 1;     ///< threads of one product
};

/// At most `most` workers, so that memory stays that of a few tensors on any machine.
inline ThreadShare share_of_cores(unsigned most) {
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  const unsigned workers = std::min(cores, most);
  return {workers, cores / workers};
}

/// Threads of the products that this thread asks for.
void set_own_threads(unsigned count);
/// Threads of the BLAS's own, where it has any, for all threads of the process.
void set_blas_threads(unsigned count);

}  // namespace lorma_tool

#endif
