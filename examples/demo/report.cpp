// SPDX-License-Identifier: Apache-2.0
#include "report.hpp"

#include "text.hpp"

namespace demo {
namespace {

void print_row(std::ostream& out, const std::vector<std::string>& cells,
               const std::vector<int>& widths) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const int missing = widths[i] - static_cast<int>(cells[i].size());
    const std::string space(static_cast<std::size_t>(std::max(0, missing)), ' ');
    out << (i == 0 ? cells[i] + space : space + cells[i]) << (i + 1 < cells.size() ? "  " : "\n");
  }
}

std::string with_range(const Spread& s) {
  return significant(s.mean) + " +- " + formatted("%.*g", 1, (s.most - s.least) / 2);
}

std::string words(const Check& check) {
  return scientific(check.error) + (check.passed() ? " <= " : " > ") + scientific(check.bound) +
         (check.passed() ? "" : " FAILED");
}

/// "lower than LoRA's (0.337 against 0.729)", or that the starts do not tell them apart.
std::string compared(const Spread& mine, const Spread& lora) {
  const char* verdict = mine.most < lora.least   ? "lower than LoRA's"
                        : mine.least > lora.most ? "higher than LoRA's"
                                                 : "not to be told from LoRA's";
  int digits = 3;
  while (digits < 6 && significant(mine.mean, digits) == significant(lora.mean, digits)) ++digits;
  return std::string(verdict) + " (" + significant(mine.mean, digits) + " against " +
         significant(lora.mean, digits) + ")";
}

}  // namespace

void print_weights(std::ostream& out, const std::vector<Weight>& weights) {
  int width = 6;
  for (const Weight& w : weights) width = std::max(width, static_cast<int>(w.name.size()));
  const std::vector<int> widths{width, 13, 6, 14, 9, 9};
  print_row(out, {"matrix", "shape", "rank", "near full rank", "sigma max", "sigma min"}, widths);
  for (const Weight& w : weights) {
    print_row(
        out,
        {w.name, std::to_string(w.rows) + " x " + std::to_string(w.cols), std::to_string(w.rank),
         w.near_full_rank ? "yes" : "no", scientific(w.largest), scientific(w.smallest)},
        widths);
  }
  out << '\n';
}

void print_job(std::ostream& out, const Results& r) {
  out << "Job: " << r.title << ".\n  base    " << r.base_name << "\n  target  " << r.target_name
      << "\n  inputs  " << r.input_name << ", " << r.training_tokens << " real tokens, and "
      << r.held_out_tokens << " held out\n"
      << "Adam, " << r.plan.steps << " steps of " << batch_size << " tokens, on the output error "
      << "1/b ||(W - W_target) X||^2; rank " << r.rank << ".\n"
      << "Errors below are ||(W - W_target) X||^2 / ||W_target X||^2. On the training tokens\n"
      << "  a zero weight has 1, the best W0 plus a change of rank " << r.rank << " has "
      << significant(r.floor) << ",\n  the best weight of rank " << r.rank << " without W0 has "
      << significant(r.floor_alone) << ".\n"
      << "Every method: the same batches, the best of the rates";
  for (const double rate : rates) out << ' ' << number(rate);
  out << ",\nthen " << starts << " starts (mean +- half the range).\n\n";
}

void print_table(std::ostream& out, const Results& results) {
  const std::vector<int> widths{8, 10, 6, 7, 16, 16, 8, 7, 7, 7};
  print_row(out, {"", "", "", "start", "end", "held-out", "area /", "rank of", "rank of", "ms"},
            widths);
  print_row(out,
            {"method", "parameters", "rate", "error", "error", "error", "LoRA's", "I(BA)", "W - W0",
             "a step"},
            widths);
  const double lora = area(results.methods.front()).mean;
  for (const Method& m : results.methods) {
    print_row(
        out,
        {m.name, std::to_string(m.parameters), number(m.fits.runs.front().rate),
         significant(start_error(m).mean), with_range(end_error(m)), with_range(held_out_error(m)),
         significant(area(m).mean / lora), m.rank_of_P ? std::to_string(*m.rank_of_P) : "-",
         std::to_string(m.rank_of_change), fixed(step_time(m).mean, 2)},
        widths);
  }
  out << '\n';
}

void print_checks(std::ostream& out, const Results& results) {
  const std::vector<int> widths{8, 30, 20, 10};
  print_row(out, {"method", "merged against adapted output", "unmerged against W0", "cond I(BA)"},
            widths);
  for (const Method& m : results.methods) {
    const std::string refused = m.untouched ? "refused" : "refused, W CHANGED";
    const std::string singular = m.rank_of_P ? "singular" : "-";
    print_row(out,
              {m.name, words(m.merge), m.unmerge ? words(*m.unmerge) : refused,
               m.condition ? scientific(*m.condition) : singular},
              widths);
  }
  for (const Method& m : results.methods) {
    if (m.refusal.empty()) continue;
    out << m.name << ": merging cannot be undone"
        << (m.untouched ? "; the weight is as it was:\n  " : ":\n  ") << m.refusal << '\n';
  }
  out << '\n';
}

std::vector<std::string> verdicts(const Results& results) {
  std::vector<std::string> lines;
  const Method& lora = results.methods.front();
  for (std::size_t i = 1; i < results.methods.size(); ++i) {
    const Method& m = results.methods[i];
    lines.push_back(m.name + ": end error " + compared(end_error(m), end_error(lora)) +
                    ",\n  held-out error " + compared(held_out_error(m), held_out_error(lora)) +
                    ",\n  area under the curve " + compared(area(m), area(lora)) + ".");
  }
  const auto least = [&](auto&& of) {
    return std::min_element(
               results.methods.begin(), results.methods.end(),
               [&](const Method& a, const Method& b) { return of(a).mean < of(b).mean; })
        ->name;
  };
  lines.push_back("Least end error: " + least(end_error) + ". Least held-out error: " +
                  least(held_out_error) + ". Least area: " + least(area) + ".");
  for (const Method& m : results.methods) {
    if (m.fits.rate_at_edge) {
      lines.push_back(m.name + ": the best rate is at an end of the sweep; a better one may lie " +
                      "beyond.");
    }
    if (held_out_error(m).mean > 1) {
      lines.push_back(m.name + ": on held-out tokens worse than a zero weight.");
    }
  }
  return lines;
}

}  // namespace demo
