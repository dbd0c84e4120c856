// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_STOP_HPP
#define LORMA_TOOLS_STOP_HPP

/// Ctrl-C: at once while nothing is on the disk, else after what was begun is taken away again.

#include <lorma/core/error.hpp>

namespace lorma_tool {

/// Exit code of a run that was stopped.
inline constexpr int stopped_code = 130;

/// Thrown when the user asked to stop; nothing was left behind.
class Interrupted : public lorma::Error {
  using Error::Error;
};

/// While one lives, a signal only asks: temporaries are on the disk. Not nested, one a process.
class Writing {
 public:
  Writing() noexcept;
  ~Writing();
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;
};

/// Throws Interrupted if a stop was asked for.
void check_stop();
/// Asks for a stop; may be called from anywhere.
void request_stop() noexcept;

/// Handles SIGINT, SIGTERM and SIGHUP so; files and pipes that take no more are errors of the
/// write.
void handle_signals();

}  // namespace lorma_tool

#endif
