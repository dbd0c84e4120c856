// SPDX-License-Identifier: Apache-2.0

/// The main job on real input: one real attention matrix is adapted to another with LoRA, None,
/// LoRMA+ and LoRMA_pi at equal parameter count. docs/demo.md tells what the numbers mean.

#include <Eigen/Core>
#include <chrono>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>

#ifdef __GNUC__
extern "C" __attribute__((weak)) void openblas_set_num_threads(int);  // null with another BLAS
#endif

#include "options.hpp"
#include "ranks.hpp"
#include "report.hpp"
#include "text.hpp"
#include "train.hpp"

namespace {

using namespace demo;

void write(const std::filesystem::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw lorma::Error("cannot write " + path.string());
}

std::vector<Weight> weigh_file(const std::filesystem::path& path) {
  std::vector<Weight> weights;
  for_each_attention_matrix(path, [&](const std::string& name, const Matrix& W) {
    if (W.rows() * W.cols() > 1 << 20) std::cerr << "rank of " << name << '\n';
    weights.push_back(weigh(name, W));
  });
  return weights;
}

Results describe(const Job& job, const Options& options) {
  Results results;
  results.title = job.title;
  results.base_name = job.base_name;
  results.target_name = job.target_name;
  results.input_name = job.input_name;
  results.training_tokens = job.training.X.cols();
  results.held_out_tokens = job.held_out.X.cols();
  results.rank = options.rank;
  results.plan = {options.steps, options.seed};
  const Matrix missing = job.training.target - job.W0 * job.training.X;
  results.floor = beyond_rank(missing, options.rank) / job.training.energy;
  results.floor_alone = beyond_rank(job.training.target, options.rank) / job.training.energy;
  return results;
}

/// A layer of this size has little work to share, and sharing waits where the machine is busy.
void use_one_thread() {
  Eigen::setNbThreads(1);  // lorma's default executor asks Eigen
#ifdef __GNUC__
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(1);
#endif
}

int run(const Options& options) {
  use_one_thread();
  const auto begin = std::chrono::steady_clock::now();
  const Job job = load_job(options.data, options.job);
  if (options.rank > job.W0.rows()) {
    throw lorma::Error("--rank: expected at most " + std::to_string(job.W0.rows()) + ", got " +
                       std::to_string(options.rank));
  }
  std::error_code failed;
  std::filesystem::create_directories(options.out, failed);
  if (failed) throw lorma::Error("cannot make " + options.out.string() + ": " + failed.message());

  const std::vector<Weight> weights = weigh_file(options.data);
  print_weights(std::cout, weights);
  const std::string model = options.model.filename().string();
  std::vector<Weight> model_weights;
  if (!model.empty()) {
    model_weights = weigh_file(options.model);
    std::cout << model << ": " << model_weights.size() << " attention matrices\n";
    print_weights(std::cout, model_weights);
  }

  Results results = describe(job, options);
  print_job(std::cout, results);
  std::cout.flush();
  {
    constexpr Kind kinds[] = {Kind::lora, Kind::none, Kind::identity, Kind::cyclic_permutation};
    Progress progress(static_cast<int>(std::size(kinds) * (std::size(rates) + starts - 1)));
    for (const Kind kind : kinds) {
      const Trained trained = train(kind, job, options.rank, results.plan, progress);
      Method method;
      method.name = name_of(kind);
      method.fits = trained.fits;
      study_ranks(trained, job, method);
      check_merging(trained, job, method);
      results.methods.push_back(std::move(method));
    }
  }

  print_table(std::cout, results);
  print_checks(std::cout, results);
  for (const std::string& line : verdicts(results)) std::cout << line << '\n';
  write(options.out / "loss.svg", loss_plot(results));
  write(options.out / "demo.json", json_report(results, weights, model, model_weights));
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  std::cout << "\nWrote " << (options.out / "loss.svg").string() << " and "
            << (options.out / "demo.json").string() << "; " << fixed(seconds.count(), 0)
            << " s in all. The other job: --job "
            << (options.job == JobKind::layer ? "quantized" : "layer") << ".\n";

  bool passed = true;
  for (const Method& m : results.methods) {
    if (m.passed()) continue;
    std::cerr << "lorma_demo: " << m.name << " failed its merge or unmerge check\n";
    passed = false;
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
