// SPDX-License-Identifier: Apache-2.0
#include "inspect.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <lorma/analysis/rank_report.hpp>
#include <lorma/io/safetensors.hpp>
#include <memory>
#include <regex>
#include <thread>

#include "checkpoint.hpp"
#include "progress.hpp"
#include "stored_weight.hpp"
#include "threads.hpp"

namespace lorma_tool {
namespace {

namespace fs = std::filesystem;
using lorma::Dtype;
using lorma::Index;
using lorma::SafetensorsFile;

struct Job {
  std::shared_ptr<const SafetensorsFile> file;
  std::size_t tensor = 0;
  std::size_t line = 0;
  double cost = 0.0;
};

/// In numbers of S what is stored as T.
template <typename S, typename T = S>
void measure(const SafetensorsFile& file, double threshold, MatrixLine& line) {
  const lorma::Matrix<S> M = file.matrix<S>(line.name);
  const Eigen::VectorXd sigma = lorma::analysis::singular_values(M);
  const auto report = lorma::analysis::rank_report_from(sigma, M.template cast<T>(), threshold);
  line.rank = report.rank;
  line.rank_beyond_storage = report.rank_beyond_storage;
  const auto full = static_cast<double>(std::min(M.rows(), M.cols()));
  line.fraction = full > 0.0 ? static_cast<double>(report.rank) / full : 1.0;
  line.condition = report.condition;
  line.stable_rank = report.stable_rank;
  line.effective_rank = report.effective_rank;
  line.largest = report.largest;
  line.smallest = report.smallest;
  line.near_full_rank = report.near_full_rank;
  line.spectrum.assign(sigma.data(), sigma.data() + sigma.size());
}

void run(const Job& job, double threshold, MatrixLine& line) {
  try {
    switch (job.file->tensors()[job.tensor].dtype) {
      case Dtype::F64:
        return measure<double>(*job.file, threshold, line);
      case Dtype::F16:
        return measure<float, Eigen::half>(*job.file, threshold, line);
      case Dtype::BF16:
        return measure<float, Eigen::bfloat16>(*job.file, threshold, line);
      default:
        return measure<float>(*job.file, threshold, line);
    }
  } catch (const std::exception& error) {
    line.error = error.what();
  }
}

}  // namespace

std::size_t Inspection::near_full() const {
  return static_cast<std::size_t>(
      std::count_if(matrices.begin(), matrices.end(),
                    [](const MatrixLine& m) { return m.error.empty() && m.near_full_rank; }));
}

int Inspection::exit_code() const {
  const bool failed = std::any_of(matrices.begin(), matrices.end(),
                                  [](const MatrixLine& m) { return !m.error.empty(); });
  if (failed || !broken.empty()) return 2;
  return near_full() == matrices.size() ? 0 : 1;
}

Inspection inspect(const InspectOptions& options) {
  std::optional<std::regex> match;
  if (!options.match.empty()) {
    try {
      match.emplace(options.match);
    } catch (const std::regex_error& error) {
      throw lorma::Error("--match: expected a regular expression, got " +
                         lorma::detail::in_quotes(options.match) + " (" + error.what() + ")");
    }
  }
  Inspection result;
  result.threshold = options.threshold;
  std::vector<fs::path> paths;
  for (const fs::path& path : options.files) {
    try {
      if (path.extension() == ".json") {
        const auto shards = shards_of(path);
        paths.insert(paths.end(), shards.begin(), shards.end());
      } else {
        paths.push_back(path);
      }
    } catch (const std::exception& error) {
      result.broken.emplace_back(error.what());
    }
  }
  std::vector<Job> jobs;
  double total = 0.0;
  for (const fs::path& path : paths) {
    try {
      const auto file = std::make_shared<const SafetensorsFile>(path);
      for (std::size_t t = 0; t < file->tensors().size(); ++t) {
        const lorma::StoredTensor& tensor = file->tensors()[t];
        if (tensor.shape.size() != 2) continue;
        if (match && !std::regex_search(tensor.name, *match)) continue;
        if (!has_arithmetic(tensor.dtype)) {
          ++result.skipped;
          continue;
        }
        MatrixLine line;
        line.file = path.string();
        line.name = tensor.name;
        line.dtype = lorma::dtype_name(tensor.dtype);
        line.rows = tensor.shape[0];
        line.cols = tensor.shape[1];
        const auto m = static_cast<double>(line.rows);
        const auto n = static_cast<double>(line.cols);
        jobs.push_back({file, t, result.matrices.size(), 1.0 + m * n * std::min(m, n)});
        total += jobs.back().cost;
        result.matrices.push_back(std::move(line));
      }
    } catch (const std::exception& error) {
      result.broken.emplace_back(error.what());
    }
  }
  // The largest first, so that no thread ends long after the others.
  std::stable_sort(jobs.begin(), jobs.end(),
                   [](const Job& a, const Job& b) { return a.cost > b.cost; });
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  const auto threads = std::min<std::size_t>(options.threads == 0 ? cores : options.threads,
                                             std::max<std::size_t>(jobs.size(), 1));
  if (threads > 1) set_blas_threads(1);
  if (match && result.matrices.empty() && result.broken.empty()) {
    throw lorma::Error("--match: expected the name of a 2-D tensor to have " +
                       lorma::detail::in_quotes(options.match) + ", none does");
  }
  Progress progress(options.progress, total);
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t i = next++; i < jobs.size(); i = next++) {
      MatrixLine& line = result.matrices[jobs[i].line];
      run(jobs[i], options.threshold, line);
      progress.done(jobs[i].cost, line.name);
      jobs[i].file.reset();
    }
  };
  std::vector<std::jthread> pool;
  for (std::size_t t = 1; t < threads; ++t) pool.emplace_back(work);
  work();
  pool.clear();
  return result;
}

}  // namespace lorma_tool
