// SPDX-License-Identifier: Apache-2.0
#include <nlohmann/json.hpp>

#include "report.hpp"

namespace demo {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const std::vector<Weight>& weights) {
  Json list = Json::array();
  for (const Weight& w : weights) {
    list.push_back({{"name", w.name},
                    {"shape", {w.rows, w.cols}},
                    {"rank", w.rank},
                    {"near_full_rank", w.near_full_rank},
                    {"largest_singular_value", w.largest},
                    {"smallest_singular_value", w.smallest}});
  }
  return list;
}

Json to_json(const Run& run) {
  return {{"start_error", run.start()},
          {"end_error", run.end()},
          {"held_out_error", run.held_out},
          {"area", run.area()},
          {"milliseconds_a_step", run.milliseconds},
          {"steps", run.steps},
          {"training_error", run.training}};
}

Json to_json(const Check& check) {
  return {{"error", check.error}, {"bound", check.bound}, {"passed", check.passed()}};
}

Json to_json(const Method& m, double lora_area) {
  Json json{{"name", m.name},
            {"parameters", m.parameters},
            {"rate", m.fits.runs.front().rate},
            {"rate_at_end_of_sweep", m.fits.rate_at_edge},
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
            {"unmerge_refused", nullptr},
            {"sweep", Json::array()},
            {"runs", Json::array()}};
  if (m.rank_of_P) json["rank_of_inflated"] = *m.rank_of_P;
  if (m.condition) json["condition_of_inflated"] = *m.condition;
  if (m.unmerge) json["unmerge"] = to_json(*m.unmerge);
  if (!m.refusal.empty()) json["unmerge_refused"] = m.refusal;
  for (const Run& run : m.fits.sweep) {
    json["sweep"].push_back({{"rate", run.rate}, {"end_error", run.end()}});
  }
  for (const Run& run : m.fits.runs) json["runs"].push_back(to_json(run));
  return json;
}

}  // namespace

std::string json_report(const Results& r, const std::vector<Weight>& weights,
                        const std::string& model, const std::vector<Weight>& model_weights) {
  Json json{{"job", r.title},
            {"base", r.base_name},
            {"target", r.target_name},
            {"inputs", r.input_name},
            {"training_tokens", r.training_tokens},
            {"held_out_tokens", r.held_out_tokens},
            {"rank", r.rank},
            {"steps", r.plan.steps},
            {"batch", batch_size},
            {"seed", r.plan.seed},
            {"least_error_of_a_change_of_this_rank", r.floor},
            {"least_error_of_a_weight_of_this_rank", r.floor_alone},
            {"weights", to_json(weights)}};
  if (!model.empty()) {
    json["model"] = model;
    json["model_weights"] = to_json(model_weights);
  }
  const double lora_area = area(r.methods.front()).mean;
  for (const Method& m : r.methods) json["methods"].push_back(to_json(m, lora_area));
  json["verdicts"] = verdicts(r);
  return json.dump(2) + "\n";
}

}  // namespace demo
