// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_MONITOR_HPP
#define LORMA_MODEL_MONITOR_HPP

/// What a function over whole checkpoints tells its caller while it works, and what it asks.
///
///   Monitor monitor;
///   monitor.progress = [](const Step& step) { std::cerr << step.done / step.total << '\n'; };
///   monitor.stop = [&] { return cancelled.load(); };
///   merge(options, monitor);                       // throws Stopped once `cancelled` is set

#include <functional>
#include <mutex>
#include <string_view>
#include <utility>

#include "lorma/core/error.hpp"

namespace lorma::inline LORMA_ABI::model {

/// Thrown where the caller asked to stop; the output is then absent and nothing was left behind.
class Stopped : public Error {
  using Error::Error;
};

/// How far a function has got; one with several parts starts again from 0 in each.
struct Step {
  double done = 0.0;      ///< out of `total`
  double total = 1.0;     ///< bytes, or anything proportional to the time that it takes
  bool is_bytes = false;  ///< whether both are bytes
  std::string_view name;  ///< for people: a tensor, or what is done with it
};

/// Each member may be empty. Calls come from any thread of the function: of `progress` and
/// `writing` one at a time, of the others several at once. What a callback throws passes through
/// the function, whatever the thread; `writing` must not throw.
struct Monitor {
  std::function<void(const Step&)> progress;
  /// Asked often: true ends the function with Stopped.
  std::function<bool()> stop;
  /// Called with true before anything of the output is on the disk, with false once the output is
  /// whole or removed again.
  std::function<void(bool)> writing;
  /// Called first in each thread that the function starts, and by inspect in the caller's too: to
  /// set the threads of its products.
  std::function<void()> begin_thread;

  /// Throws Stopped if a stop is asked for.
  void check() const {
    if (stop && stop()) throw Stopped("stopped; nothing was written");
  }
};

namespace detail {

/// Adds up what is done of one part of a function.
class Steps {
 public:
  Steps(const Monitor& monitor, double total, bool is_bytes)
      : monitor_(monitor), step_{0.0, total > 1.0 ? total : 1.0, is_bytes, {}} {}

  void done(double amount, std::string_view name) {
    const std::lock_guard lock(mutex_);
    step_.done += amount;
    step_.name = name;
    if (monitor_.progress) monitor_.progress(step_);
  }

 private:
  std::mutex mutex_;
  const Monitor& monitor_;
  Step step_;
};

/// While one lives, temporaries may be on the disk.
class Writing {
 public:
  explicit Writing(const Monitor& monitor) : monitor_(monitor) { tell(true); }
  ~Writing() { tell(false); }
  Writing(const Writing&) = delete;
  Writing& operator=(const Writing&) = delete;

 private:
  void tell(bool is_writing) const {
    if (monitor_.writing) monitor_.writing(is_writing);
  }
  const Monitor& monitor_;
};

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI::model

#endif
