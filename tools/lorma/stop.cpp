// SPDX-License-Identifier: Apache-2.0
#include "stop.hpp"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace lorma_tool {
namespace {

std::atomic<bool> writing = false;
std::atomic<bool> stop_wanted = false;
static_assert(std::atomic<bool>::is_always_lock_free);

extern "C" void on_signal(int) {
  stop_wanted = true;
  if (writing) return;
  constexpr char text[] = "\nlorma: stopped; nothing was written\n";
  static_cast<void>(!::write(STDERR_FILENO, text, sizeof text - 1));
  ::_exit(stopped_code);
}

}  // namespace

void set_writing(bool is_writing) noexcept {
  writing = is_writing;
}

bool stop_requested() noexcept {
  return stop_wanted;
}

void handle_signals() {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    // What was ignored stays so: nohup, jobs in the background.
    if (std::signal(signal, SIG_IGN) != SIG_IGN) std::signal(signal, on_signal);
  }
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace lorma_tool
