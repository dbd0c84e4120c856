// SPDX-License-Identifier: Apache-2.0

/// The main job on real input: one real attention matrix is adapted to another with LoRA, None,
/// LoRMA+ and LoRMA_pi at equal parameter count. docs/demo.md tells what the numbers mean.

#include <chrono>
#include <fstream>
#include <iostream>

#include "json_report.hpp"
#include "loss_plot.hpp"
#include "method.hpp"
#include "options.hpp"
#include "report.hpp"

namespace {

using namespace demo;

/// The least training error that W0 plus any change of rank r can leave: what remains of
/// (W_target - W0) X beyond its r largest singular values.
double least_error(const Job& job, Index rank) {
  const Matrix missing = (job.W_target - job.W0) * job.training.X;
  double sum = 0;
  Index i = 0;
  for (const auto sigma : lorma::analysis::singular_values(missing)) {
    if (i++ >= rank) sum += double(sigma) * double(sigma);
  }
  return sum / job.training.energy;
}

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw lorma::Error("cannot write " + path.string());
}

void print_job(const Results& results) {
  std::cout
      << "Job: make\n  " << results.job.base_name << "\ndo what\n  " << results.job.target_name
      << "\ndoes on the inputs of its layer: " << results.job.training.X.cols()
      << " real tokens, and " << results.job.held_out.X.cols() << " held out. Rank " << results.rank
      << ", " << results.plan.steps << " steps of Adam on " << batch_size << " tokens each.\n"
      << "Errors are ||(W - W_target) X||^2 / ||W_target X||^2: 1 is what a zero weight has,\n"
      << fixed(results.floor, 3) << " the least that any change of rank " << results.rank
      << " to W0 can leave on the training tokens.\n"
      << "Every method: the same batches, the best of the rates";
  for (const double rate : rates) std::cout << ' ' << number(rate);
  std::cout << ", then " << starts << " starts\n(mean, +- half the range).\n\n";
}

int run(const Options& options) {
  const auto begin = std::chrono::steady_clock::now();
  std::error_code failed;
  std::filesystem::create_directories(options.out, failed);
  if (failed) throw lorma::Error("cannot make " + options.out.string() + ": " + failed.message());

  const lorma::SafetensorsFile file(options.data);
  Results results;
  results.job = load_job(file, options.job);
  results.rank = options.rank;
  results.plan = {options.steps, options.seed};
  if (options.rank > results.job.W0.rows()) {
    throw lorma::ShapeError("--rank: expected at most " + std::to_string(results.job.W0.rows()) +
                            ", got " + std::to_string(options.rank));
  }

  results.weights = attention_weights(file);
  print_weights(std::cout, results.weights);
  if (!options.model.empty()) {
    const lorma::SafetensorsFile model(options.model);
    results.model = options.model.filename().string();
    results.model_weights = attention_weights(model);
    std::cout << results.model << ": " << results.model_weights.size() << " attention matrices\n";
    print_weights(std::cout, results.model_weights);
  }

  results.floor = least_error(results.job, options.rank);
  print_job(results);
  std::cout.flush();
  {
    Progress progress(4 * static_cast<int>(std::size(rates) + starts - 1));
    const Job& job = results.job;
    const Plan& plan = results.plan;
    const Index rank = options.rank;
    results.methods.push_back(try_lora(job, rank, plan, progress));
    results.methods.push_back(try_lorma<lorma::None>("None", job, rank, plan, progress));
    results.methods.push_back(try_lorma<lorma::Identity>("LoRMA+", job, rank, plan, progress));
    results.methods.push_back(
        try_lorma<lorma::CyclicPermutation>("LoRMA_pi", job, rank, plan, progress));
  }

  print_table(std::cout, results);
  print_checks(std::cout, results);
  for (const std::string& line : verdicts(results)) std::cout << line << '\n';
  write(options.out / "loss.svg", LossPlot(results).svg());
  write(options.out / "demo.json", to_json(results).dump(2) + "\n");
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::cout << "\nWrote " << (options.out / "loss.svg").string() << " and "
            << (options.out / "demo.json").string() << ". " << fixed(seconds.count(), 0)
            << " s in all.\n";

  bool passed = true;
  for (const Method& m : results.methods) {
    if (!m.passed()) {
      std::cerr << "lorma_demo: " << m.name << " failed its merge or unmerge check\n";
      passed = false;
    }
  }
  return passed ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Options options = parse_options(argc, argv);
    if (options.help) {
      std::cout << usage;
      return 0;
    }
    return run(options);
  } catch (const std::exception& error) {
    std::cerr << "lorma_demo: " << error.what() << '\n';
    return 1;
  }
}
