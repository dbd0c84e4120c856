// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_JSON_REPORT_HPP
#define LORMA_EXAMPLES_DEMO_JSON_REPORT_HPP

/// The results as JSON.

#include <nlohmann/json.hpp>

#include "report.hpp"

namespace demo {

inline nlohmann::ordered_json to_json(const Weight& w) {
  return {{"name", w.name}, {"rank_report", nlohmann::ordered_json::parse(w.report.to_json())}};
}

inline nlohmann::ordered_json to_json(const Run& run) {
  return {{"rate", run.rate},       {"start_error", run.start()},
          {"end_error", run.end()}, {"held_out_error", run.held_out},
          {"area", run.area()},     {"milliseconds_a_step", run.milliseconds},
          {"steps", run.steps},     {"training_error", run.training}};
}

inline nlohmann::ordered_json to_json(const Check& check) {
  return {{"error", check.error}, {"bound", check.bound}, {"passed", check.passed()}};
}

inline nlohmann::ordered_json to_json(const Method& m, double lora_area) {
  nlohmann::ordered_json json{{"name", m.name},
                              {"parameters", m.parameters},
                              {"rate", m.fits.runs.front().rate},
                              {"rate_at_edge_of_sweep", m.fits.rate_at_edge},
                              {"start_error", start_error(m).mean},
                              {"end_error", end_error(m).mean},
                              {"held_out_error", held_out_error(m).mean},
                              {"area_relative_to_lora", area(m).mean / lora_area},
                              {"rank_of_inflated", nullptr},
                              {"rank_of_change", m.rank_of_change},
                              {"condition_of_inflated", nullptr},
                              {"milliseconds_a_step", step_time(m).mean},
                              {"merge", to_json(m.merge)},
                              {"unmerge", nullptr},
                              {"unmerge_refused", nullptr}};
  if (m.rank_of_P) json["rank_of_inflated"] = *m.rank_of_P;
  if (m.condition) json["condition_of_inflated"] = *m.condition;
  if (m.unmerge) json["unmerge"] = to_json(*m.unmerge);
  if (!m.refusal.empty()) json["unmerge_refused"] = m.refusal;
  for (const Run& run : m.fits.runs) json["runs"].push_back(to_json(run));
  for (const Run& run : m.fits.sweep) {
    json["sweep"].push_back({{"rate", run.rate}, {"end_error", run.end()}});
  }
  return json;
}

inline nlohmann::ordered_json to_json(const Results& results) {
  nlohmann::ordered_json json{{"job", results.job.title},
                              {"base", results.job.base_name},
                              {"target", results.job.target_name},
                              {"inputs", results.job.input_name},
                              {"training_tokens", results.job.training.X.cols()},
                              {"held_out_tokens", results.job.held_out.X.cols()},
                              {"rank", results.rank},
                              {"steps", results.plan.steps},
                              {"batch", batch_size},
                              {"seed", results.plan.seed},
                              {"least_error_of_a_change_of_this_rank", results.floor},
                              {"least_error_of_a_weight_of_this_rank", results.floor_alone}};
  for (const Weight& w : results.weights) json["weights"].push_back(to_json(w));
  if (!results.model.empty()) {
    json["model"] = results.model;
    json["model_weights"] = nlohmann::ordered_json::array();
    for (const Weight& w : results.model_weights) json["model_weights"].push_back(to_json(w));
  }
  const double lora_area = area(results.methods.front()).mean;
  for (const Method& m : results.methods) json["methods"].push_back(to_json(m, lora_area));
  json["verdicts"] = verdicts(results);
  return json;
}

}  // namespace demo

#endif
