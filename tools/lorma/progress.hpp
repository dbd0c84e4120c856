// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_PROGRESS_HPP
#define LORMA_TOOLS_PROGRESS_HPP

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <lorma/io/message.hpp>
#include <mutex>
#include <string>

namespace lorma_tool {

/// Progress with the time left, one line that is rewritten on a terminal, nothing elsewhere.
class Progress {
 public:
  Progress(bool wanted, double total)
      : shown_(wanted && isatty(fileno(stderr)) != 0), total_(total) {}
  ~Progress() {
    if (shown_) std::fputs("\r\033[K", stderr);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void done(double cost, const std::string& name) {
    const std::lock_guard lock(mutex_);
    done_ += cost;
    if (!shown_) return;
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begin_;
    const double left = spent.count() * (total_ - done_) / done_;
    std::fprintf(stderr, "\r\033[K%3.0f %%, about %.0f s left  %s", 100.0 * done_ / total_, left,
                 lorma::detail::escaped(name, 60).c_str());
    std::fflush(stderr);
  }

 private:
  std::mutex mutex_;
  bool shown_;
  double total_;
  double done_ = 0.0;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
};

}  // namespace lorma_tool

#endif
