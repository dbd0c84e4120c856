// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_SESSION_HPP
#define LORMA_TOOLS_SESSION_HPP

/// One run of a verb: its progress on stderr, Ctrl-C, and the machine's cores, shared equally among
/// the tensors that are worked on at a time.

#include <lorma/model/monitor.hpp>

#include "progress.hpp"

namespace lorma_tool {

/// As many as there are cores, but four at most: memory stays that of a few tensors on any machine.
unsigned few_workers();
/// As many as there are cores.
unsigned all_workers();

class Session {
 public:
  explicit Session(bool quiet, unsigned workers = few_workers());

  /// Refers to this object, which must outlive it.
  lorma::model::Monitor monitor();
  /// Tensors at a time.
  unsigned workers() const { return workers_; }

 private:
  bool quiet_;
  unsigned workers_;
  unsigned threads_of_each_;
  Progress progress_;
};

}  // namespace lorma_tool

#endif
