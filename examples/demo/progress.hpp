// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_PROGRESS_HPP
#define LORMA_EXAMPLES_DEMO_PROGRESS_HPP

/// Progress on stderr: one line that is rewritten on a terminal, a line a run elsewhere.

#include <unistd.h>

#include <cstdio>
#include <string>

namespace demo {

class Progress {
 public:
  explicit Progress(int runs) : runs_(runs), terminal_(isatty(fileno(stderr)) != 0) {}
  ~Progress() {
    if (terminal_) std::fprintf(stderr, "\r\033[K");
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void method(std::string name) { method_ = std::move(name); }
  void begin_run(std::string what) {
    ++run_;
    what_ = std::move(what);
  }
  void step(long step, long steps, double error) const {
    if (!terminal_ && step != steps) return;
    std::fprintf(stderr, "%s[%2d/%d] %-8s %-11s step %ld/%ld, error %.4f%s",
                 terminal_ ? "\r\033[K" : "", run_, runs_, method_.c_str(), what_.c_str(), step,
                 steps, error, terminal_ ? "" : "\n");
    std::fflush(stderr);
  }

 private:
  int runs_;
  int run_ = 0;
  bool terminal_;
  std::string method_;
  std::string what_;
};

}  // namespace demo

#endif
