// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_PROGRESS_HPP
#define LORMA_TOOLS_PROGRESS_HPP

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <lorma/io/message.hpp>
#include <mutex>
#include <string>

namespace lorma_tool {

/// Progress on stderr with the rate and the time left: one line that is rewritten on a terminal, a
/// line every ten seconds elsewhere.
class Progress {
 public:
  enum class Unit { bytes, none };

  /// `total` in bytes, or in anything proportional to the time that it takes.
  Progress(bool wanted, double total, Unit unit = Unit::none)
      : wanted_(wanted), unit_(unit), total_(std::max(total, 1.0)) {}
  ~Progress() {
    if (wanted_ && terminal_) std::fputs("\r\033[K", stderr);
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void done(double amount, const std::string& name) {
    const std::lock_guard lock(mutex_);
    done_ += amount;
    const auto now = std::chrono::steady_clock::now();
    if (!wanted_ || (!terminal_ && now - shown_ < std::chrono::seconds(10))) return;
    shown_ = now;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double left = done_ > 0.0 ? seconds * (total_ - done_) / done_ : 0.0;
    std::fprintf(stderr, "%s%3.0f %%", terminal_ ? "\r\033[K" : "lorma: ", 100.0 * done_ / total_);
    if (unit_ == Unit::bytes && seconds > 0.0) {
      std::fprintf(stderr, ", %.0f MB/s", done_ / seconds / 1e6);
    }
    std::fprintf(stderr, ", about %.0f s left  %s%s", left,
                 lorma::detail::escaped(name, 60).c_str(), terminal_ ? "" : "\n");
    std::fflush(stderr);
  }

 private:
  std::mutex mutex_;
  bool wanted_;
  bool terminal_ = isatty(fileno(stderr)) != 0;
  Unit unit_;
  double total_;
  double done_ = 0.0;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point shown_ = begin_;
};

}  // namespace lorma_tool

#endif
