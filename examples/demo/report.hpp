// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_REPORT_HPP
#define LORMA_EXAMPLES_DEMO_REPORT_HPP

/// The results as a table and in words, every word computed from the numbers.

#include <algorithm>
#include <ostream>
#include <string>
#include <vector>

#include "method.hpp"
#include "weights.hpp"

namespace demo {

struct Results {
  std::vector<Weight> weights;
  std::vector<Weight> model_weights;
  std::string model;
  std::vector<Method> methods;  ///< LoRA first
  Job job;
  Index rank = 0;
  Plan plan{};
  double floor = 0;        ///< least training error that a change of rank `rank` can leave
  double floor_alone = 0;  ///< the same for a weight of that rank, without W0
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
  return spread(m, [](const Run& r) { return r.start(); });
}
inline Spread end_error(const Method& m) {
  return spread(m, [](const Run& r) { return r.end(); });
}
inline Spread held_out_error(const Method& m) {
  return spread(m, [](const Run& r) { return r.held_out; });
}
inline Spread area(const Method& m) {
  return spread(m, [](const Run& r) { return r.area(); });
}
inline Spread step_time(const Method& m) {
  return spread(m, [](const Run& r) { return r.milliseconds; });
}

inline void print_row(std::ostream& out, const std::vector<std::string>& cells,
                      const std::vector<int>& widths) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string space(
        static_cast<std::size_t>(std::max(0, widths[i] - static_cast<int>(cells[i].size()))), ' ');
    out << (i == 0 ? cells[i] + space : space + cells[i]) << (i + 1 < cells.size() ? "  " : "\n");
  }
}

inline void print_weights(std::ostream& out, const std::vector<Weight>& weights) {
  int width = 6;
  for (const Weight& w : weights) width = std::max(width, static_cast<int>(w.name.size()));
  const std::vector<int> widths{width, 13, 6, 14, 9, 9};
  print_row(out, {"matrix", "shape", "rank", "near full rank", "sigma max", "sigma min"}, widths);
  for (const auto& [name, report] : weights) {
    print_row(out,
              {name, std::to_string(report.rows) + " x " + std::to_string(report.cols),
               std::to_string(report.rank), report.near_full_rank ? "yes" : "no",
               scientific(report.largest), scientific(report.smallest)},
              widths);
  }
  out << '\n';
}

inline void print_table(std::ostream& out, const Results& results) {
  const std::vector<int> widths{8, 10, 6, 7, 14, 15, 9, 9, 9, 7};
  print_row(out, {"", "", "", "", "end", "held-out", "area", "rank of", "rank of", "ms"}, widths);
  print_row(out,
            {"method", "parameters", "rate", "start", "error", "error", "vs LoRA", "I(BA)",
             "W - W0", "a step"},
            widths);
  const double lora = area(results.methods.front()).mean;
  const auto with_range = [](const Spread& s) {
    return fixed(s.mean, 3) + " +-" + fixed((s.most - s.least) / 2, 3);
  };
  for (const Method& m : results.methods) {
    print_row(
        out,
        {m.name, std::to_string(m.parameters), number(m.fits.runs.front().rate),
         fixed(start_error(m).mean, 3), with_range(end_error(m)), with_range(held_out_error(m)),
         fixed(area(m).mean / lora, 3), m.rank_of_P ? std::to_string(*m.rank_of_P) : "-",
         std::to_string(m.rank_of_change), fixed(step_time(m).mean, 2)},
        widths);
  }
  out << '\n';
}

inline void print_checks(std::ostream& out, const Results& results) {
  const auto words = [](const Check& c) {
    return scientific(c.error) + (c.passed() ? " <= " : " > ") + scientific(c.bound) +
           (c.passed() ? "" : " FAILED");
  };
  const std::vector<int> widths{8, 30, 30, 10};
  print_row(out, {"method", "merged against adapted output", "unmerged against W0", "cond I(BA)"},
            widths);
  for (const Method& m : results.methods) {
    print_row(out,
              {m.name, words(m.merge),
               m.unmerge ? words(*m.unmerge) : (m.untouched ? "refused" : "refused, W CHANGED"),
               m.condition ? scientific(*m.condition) : (m.rank_of_P ? "singular" : "-")},
              widths);
  }
  for (const Method& m : results.methods) {
    if (!m.refusal.empty()) {
      out << m.name << " cannot be unmerged"
          << (m.untouched ? " (the weight was left as it was)" : "") << ":\n  " << m.refusal
          << '\n';
    }
  }
  out << '\n';
}

/// "lower than LoRA's (0.70 against 0.75)", or that the starts do not tell them apart.
inline std::string compared(const Spread& mine, const Spread& lora, int digits) {
  const std::string numbers =
      " (" + fixed(mine.mean, digits) + " against " + fixed(lora.mean, digits) + ")";
  if (mine.most < lora.least) return "lower than LoRA's" + numbers;
  if (mine.least > lora.most) return "higher than LoRA's" + numbers;
  return "not to be told from LoRA's" + numbers;
}

/// Who did better than LoRA and who did not. "Lower" and "higher" hold for every pair of starts.
inline std::vector<std::string> verdicts(const Results& results) {
  std::vector<std::string> lines;
  const Method& lora = results.methods.front();
  for (std::size_t i = 1; i < results.methods.size(); ++i) {
    const Method& m = results.methods[i];
    lines.push_back(m.name + ": end error " + compared(end_error(m), end_error(lora), 3) +
                    "; held-out error " + compared(held_out_error(m), held_out_error(lora), 3) +
                    "; area " + compared(area(m), area(lora), 1) + ".");
  }
  const auto least = [&](auto&& of) {
    return std::min_element(
        results.methods.begin(), results.methods.end(),
        [&](const Method& a, const Method& b) { return of(a).mean < of(b).mean; });
  };
  const auto end = least(end_error);
  const auto held_out = least(held_out_error);
  const auto quick = least(area);
  lines.push_back("Least end error: " + end->name + ". Least held-out error: " + held_out->name +
                  ". Least area under the curve: " + quick->name + ".");
  for (const Method& m : results.methods) {
    if (m.fits.rate_at_edge) {
      lines.push_back(m.name +
                      ": its best rate is at an end of the sweep, so a better one may lie " +
                      "beyond.");
    }
    if (held_out_error(m).mean > 1) {
      lines.push_back(m.name + ": its held-out error is above 1, which is what a zero weight has.");
    }
  }
  return lines;
}

}  // namespace demo

#endif
