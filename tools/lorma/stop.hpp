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

/// While one lives, a signal only asks to stop.
class DeferredStop {
 public:
  DeferredStop() noexcept { set_writing(true); }
  ~DeferredStop() { set_writing(false); }
  DeferredStop(const DeferredStop&) = delete;
  DeferredStop& operator=(const DeferredStop&) = delete;
};

/// Handles SIGINT, SIGTERM and SIGHUP this way. A file at its size limit and a closed pipe make the
/// write fail, and do not end the program.
void handle_signals();

}  // namespace lorma_tool

#endif
