// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_STOP_HPP
#define LORMA_TOOLS_STOP_HPP

/// Ctrl-C stops at once while nothing is on the disk, otherwise after what was begun is removed.

namespace lorma_tool {

/// Exit code of a run that was stopped.
inline constexpr int stopped_code = 130;

/// While it is set, a signal only asks to stop: temporaries are on the disk.
void set_writing(bool is_writing) noexcept;
/// Whether a stop was asked for.
bool stop_requested() noexcept;

/// Sets writing for a scope.
class Writing {
 public:
  Writing() noexcept { set_writing(true); }
  ~Writing() { set_writing(false); }
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;
};

/// Handles SIGINT, SIGTERM and SIGHUP this way. A file at its size limit and a closed pipe make the
/// write fail, and do not end the program.
void handle_signals();

}  // namespace lorma_tool

#endif
