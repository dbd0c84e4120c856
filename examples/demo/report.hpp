// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_REPORT_HPP
#define LORMA_EXAMPLES_DEMO_REPORT_HPP

/// Results as tables, in words computed from the numbers, as JSON and as a picture.

#include <ostream>
#include <string>
#include <vector>

#include "results.hpp"

namespace demo {

void print_weights(std::ostream& out, const std::vector<Weight>& weights);
void print_job(std::ostream& out, const Results& results);
void print_table(std::ostream& out, const Results& results);
void print_checks(std::ostream& out, const Results& results);

/// Who did better than LoRA and who did not. "Lower" and "higher" hold for every pair of starts.
std::vector<std::string> verdicts(const Results& results);

/// json_report.cpp
std::string json_report(const Results& results, const std::vector<Weight>& weights,
                        const std::string& model, const std::vector<Weight>& model_weights);

/// The training curves as SVG: mean over starts, a band from the least to the largest, log error
/// over steps. loss_plot.cpp
std::string loss_plot(const Results& results);

}  // namespace demo

#endif
