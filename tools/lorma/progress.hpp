// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_PROGRESS_HPP
#define LORMA_TOOLS_PROGRESS_HPP

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <lorma/io/message.hpp>
#include <lorma/model/monitor.hpp>

namespace lorma_tool {

/// Progress on stderr with the rate and the time left: one line that is rewritten on a terminal, a
/// line every ten seconds elsewhere.
class Progress {
 public:
  Progress() = default;
  ~Progress() {
    if (terminal_) std::fputs("\r\033[K", stderr);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(const lorma::model::Step& step) {
    const auto now = std::chrono::steady_clock::now();
    if (step.done < done_) begin_ = shown_ = now;  // another part has begun
    done_ = step.done;
    if (!terminal_ && now - shown_ < std::chrono::seconds(10)) return;
    shown_ = now;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double left = done_ > 0.0 ? seconds * (step.total - done_) / done_ : 0.0;
    std::fprintf(stderr, "%s%3.0f %%",
                 terminal_ ? "\r\033[K" : "lorma: ", 100.0 * done_ / step.total);
    if (step.is_bytes && seconds > 0.0) std::fprintf(stderr, ", %.0f MB/s", done_ / seconds / 1e6);
    std::fprintf(stderr, ", about %.0f s left  %s%s", left, lorma::escaped(step.name, 60).c_str(),
                 terminal_ ? "" : "\n");
    std::fflush(stderr);
  }

 private:
  bool terminal_ = isatty(fileno(stderr)) != 0;
  double done_ = 0.0;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point shown_ = begin_;
};

}  // namespace lorma_tool

#endif
