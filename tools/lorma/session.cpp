// SPDX-License-Identifier: Apache-2.0
#include "session.hpp"

#include <algorithm>
#include <thread>

#include "stop.hpp"

#ifdef _OPENMP
#include <omp.h>
#endif

#ifdef __GNUC__
extern "C" __attribute__((weak)) void openblas_set_num_threads(int);
#endif

namespace lorma_tool {

unsigned all_workers() {
  return std::max(1U, std::thread::hardware_concurrency());
}

unsigned few_workers() {
  return std::min(4U, all_workers());
}

Session::Session(bool quiet, unsigned workers)
    : quiet_(quiet),
      workers_(std::max(1U, workers)),
      threads_of_each_(std::max(1U, all_workers() / workers_)) {
#ifdef __GNUC__  // the BLAS's own, for all threads of the process
  if (openblas_set_num_threads != nullptr) {
    openblas_set_num_threads(static_cast<int>(threads_of_each_));
  }
#endif
}

lorma::model::Monitor Session::monitor() {
  lorma::model::Monitor monitor;
  if (!quiet_) {
    monitor.progress = [this](const lorma::model::Step& step) { progress_.show(step); };
  }
  monitor.stop = stop_requested;
  monitor.writing = set_writing;
  monitor.begin_thread = [this] {
#ifdef _OPENMP
    omp_set_num_threads(static_cast<int>(threads_of_each_));
#else
    static_cast<void>(this);
#endif
  };
  return monitor;
}

}  // namespace lorma_tool
