// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>
#include <cstdint>
#include <fstream>
#include <iostream>

#include "lorma/core/error.hpp"
#include "studies.hpp"

namespace {

using Study = studies::Json (*)(const demo::Job&, const demo::Plan&);

const std::map<std::string, Study> all{{"rank-of-change", studies::rank_of_change},
                                       {"deficient-weight", studies::deficient_weight},
                                       {"gradient-flow", studies::gradient_flow}};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Measures what a study in docs/ asks, as JSON"};
  std::string study;
  std::string out;
  std::string data = LORMA_DEMO_DATA;
  std::string task = "layer";
  demo::Plan plan{300, 1};
  app.add_option("study", study, "rank-of-change, deficient-weight or gradient-flow")
      ->required()
      ->check(CLI::IsMember(all));
  app.add_option("out", out, "file for the numbers")->required();
  app.add_option("--job", task, "layer or quantized, as in the demo")
      ->check(CLI::IsMember({"layer", "quantized"}))
      ->capture_default_str();
  app.add_option("--steps", plan.steps, "steps of Adam in each run")
      ->check(CLI::Range(1L, 100000L))
      ->capture_default_str();
  app.add_option("--seed", plan.seed)->capture_default_str();
  app.add_option("--data", data, "weights and inputs")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    const demo::Job job =
        demo::load_job(data, task == "layer" ? demo::JobKind::layer : demo::JobKind::quantized);
    studies::Json json = all.at(study)(job, plan);
    json["job"] = job.title;
    std::ofstream file(out, std::ios::binary);
    file << json.dump(1) << '\n';
    file.close();
    if (!file) throw lorma::Error("cannot write '" + out + "'");
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "lorma_studies: " << error.what() << '\n';
    return 1;
  }
}
