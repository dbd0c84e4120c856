// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_RESULTS_HPP
#define LORMA_EXAMPLES_DEMO_RESULTS_HPP

/// What the demo finds out, as plain numbers. Errors of a weight W are
/// ||(W - W_target) X||_F^2 / ||W_target X||_F^2.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace demo {

inline constexpr double rates[] = {1e-3, 3e-3, 1e-2, 3e-2, 1e-1};  ///< the sweep
inline constexpr int starts = 3;                                   ///< seeds with the chosen rate
inline constexpr long batch_size = 128;                            ///< tokens a step

struct Plan {
  long steps = 0;
  std::uint64_t seed = 0;
  long report_every() const { return std::max(1L, steps / 60); }
};

/// One run of Adam.
struct Run {
  double rate = 0;
  std::vector<long> steps;       ///< at which `training` was taken
  std::vector<double> training;  ///< error on all training tokens
  double held_out = 0;           ///< error at the end
  double milliseconds = 0;       ///< median step: forward, loss, backward, Adam
  double start() const { return training.front(); }
  double end() const { return training.back(); }
  bool finite() const {
    return std::all_of(training.begin(), training.end(), [](double e) { return std::isfinite(e); });
  }
  /// Area under the curve of `training` over steps.
  double area() const {
    double sum = 0;
    for (std::size_t i = 1; i < steps.size(); ++i) {
      sum += 0.5 * (training[i] + training[i - 1]) * double(steps[i] - steps[i - 1]);
    }
    return sum;
  }
};

/// A method's runs: the sweep (one seed), then the best rate from several seeds.
struct Fits {
  std::vector<Run> sweep;
  std::vector<Run> runs;
  bool rate_at_edge = false;  ///< the best rate is the sweep's first or last
};

/// A measured relative error and the most that rounding explains.
struct Check {
  double error = 0;
  double bound = 0;
  bool passed() const { return error <= bound; }
};

struct Method {
  std::string name;
  long parameters = 0;
  Fits fits;
  std::optional<long> rank_of_P;    ///< of I(BA); LoRA has none
  std::optional<double> condition;  ///< of I(BA), unless singular
  long rank_of_change = 0;          ///< of W - W0
  Check merge;                      ///< merged against adapted output
  std::optional<Check> unmerge;     ///< weight after unmerge against W0
  std::string refusal;              ///< what unmerge said instead
  bool untouched = true;            ///< a refused unmerge left the weight as it was

  bool passed() const { return merge.passed() && (unmerge ? unmerge->passed() : untouched); }
};

struct Weight {
  std::string name;
  long rows = 0;
  long cols = 0;
  long rank = 0;
  bool near_full_rank = false;
  double largest = 0;   ///< singular value
  double smallest = 0;  ///< singular value
};

/// One job and what the methods made of it.
struct Results {
  std::string title;
  std::string base_name;
  std::string target_name;
  std::string input_name;
  long training_tokens = 0;
  long held_out_tokens = 0;
  long rank = 0;
  Plan plan;
  double floor = 0;             ///< least training error of W0 plus any change of rank `rank`
  double floor_alone = 0;       ///< the same for a weight of that rank, without W0
  std::vector<Method> methods;  ///< LoRA first
};

/// Mean, least and largest of one number over the starts.
struct Spread {
  double mean = 0;
  double least = 0;
  double most = 0;
};

template <typename Of>
Spread spread(const Method& method, Of&& of) {
  Spread s{0, std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
  for (const Run& run : method.fits.runs) {
    const double value = of(run);
    s.mean += value / double(method.fits.runs.size());
    s.least = std::min(s.least, value);
    s.most = std::max(s.most, value);
  }
  return s;
}
inline Spread start_error(const Method& m) {
  return spread(m, [](const Run& run) { return run.start(); });
}
inline Spread end_error(const Method& m) {
  return spread(m, [](const Run& run) { return run.end(); });
}
inline Spread held_out_error(const Method& m) {
  return spread(m, [](const Run& run) { return run.held_out; });
}
inline Spread area(const Method& m) {
  return spread(m, [](const Run& run) { return run.area(); });
}
inline Spread step_time(const Method& m) {
  return spread(m, [](const Run& run) { return run.milliseconds; });
}

}  // namespace demo

#endif
