// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_INSPECT_HPP
#define LORMA_MODEL_INSPECT_HPP

/// The rank of every matrix of a checkpoint.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "lorma/analysis/rank_report.hpp"
#include "lorma/model/checkpoint.hpp"
#include "lorma/model/monitor.hpp"
#include "lorma/model/stored_weight.hpp"
#include "lorma/patterns/pattern.hpp"

namespace lorma::inline LORMA_ABI::model {

/// What is known of one 2-D tensor.
struct MatrixLine {
  std::string file;
  std::string name;
  std::string dtype;
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::int64_t rank = 0;
  std::int64_t rank_beyond_storage = 0;  ///< of what rounding to the dtype cannot have added
  double fraction = 0.0;                 ///< rank / min(rows, cols); 1 for an empty matrix
  double condition = 0.0;
  double stable_rank = 0.0;
  double effective_rank = 0.0;
  double largest = 0.0;
  double smallest = 0.0;
  bool near_full_rank = false;
  std::vector<double> spectrum;  ///< all singular values, descending
  std::string error;             ///< why there are no numbers; empty when there are
};

struct InspectOptions {
  std::vector<std::filesystem::path>
      files;          ///< safetensors files and index files of sharded models
  std::string match;  ///< ECMAScript expression on names; empty: all
  double threshold = 0.99;
  unsigned threads = 1;  ///< matrices at a time
};

struct Inspection {
  double threshold = 0.99;
  std::vector<MatrixLine> matrices;
  std::vector<std::string> broken;  ///< one line a file that could not be read
  std::size_t skipped = 0;          ///< 2-D tensors of types without arithmetic here

  std::size_t near_full() const;
  /// 2 when a file or matrix could not be read, else 1 when a matrix is below the threshold, else
  /// 0.
  int exit_code() const;
};

/// Memory: one matrix in its compute type and in double for each thread; files are mapped. A file
/// or matrix that cannot be read is reported in the result, the others are done. Throws
/// Error for a bad expression, and for one that no name has.
LORMA_MODEL_FUNCTION Inspection inspect(const InspectOptions& options, const Monitor& monitor = {});

#ifdef LORMA_MODEL_BODIES
namespace detail {

struct Job {
  std::shared_ptr<const SafetensorsFile> file;
  std::size_t tensor = 0;
  std::size_t line = 0;
  double cost = 0.0;
};

/// In numbers of S what is stored as T.
template <typename S, typename T = S>
void measure(const SafetensorsFile& file, double threshold, MatrixLine& line) {
  const Matrix<S> M = file.matrix<S>(line.name);
  const Eigen::VectorXd sigma = analysis::singular_values(M);
  const auto report = analysis::rank_report_from(sigma, M.template cast<T>(), threshold);
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

inline void measure(const Job& job, double threshold, MatrixLine& line) {
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

}  // namespace detail

LORMA_MODEL_FUNCTION std::size_t Inspection::near_full() const {
  return static_cast<std::size_t>(
      std::count_if(matrices.begin(), matrices.end(),
                    [](const MatrixLine& m) { return m.error.empty() && m.near_full_rank; }));
}

LORMA_MODEL_FUNCTION int Inspection::exit_code() const {
  const bool failed = std::any_of(matrices.begin(), matrices.end(),
                                  [](const MatrixLine& m) { return !m.error.empty(); });
  if (failed || !broken.empty()) return 2;
  return near_full() == matrices.size() ? 0 : 1;
}

LORMA_MODEL_FUNCTION Inspection inspect(const InspectOptions& options, const Monitor& monitor) {
  std::optional<Pattern> match = pattern_of(options.match, "--match");
  Inspection result;
  result.threshold = options.threshold;
  std::vector<std::filesystem::path> paths;
  for (const std::filesystem::path& path : options.files) {
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
  std::vector<detail::Job> jobs;
  double total = 0.0;
  for (const std::filesystem::path& path : paths) {
    try {
      const auto file = std::make_shared<const SafetensorsFile>(path);
      for (std::size_t t = 0; t < file->tensors().size(); ++t) {
        const StoredTensor& tensor = file->tensors()[t];
        if (tensor.shape.size() != 2) continue;
        if (match && !match->finds(tensor.name)) continue;
        if (!has_arithmetic(tensor.dtype)) {
          ++result.skipped;
          continue;
        }
        MatrixLine line;
        line.file = path.string();
        line.name = tensor.name;
        line.dtype = dtype_name(tensor.dtype);
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
                   [](const detail::Job& a, const detail::Job& b) { return a.cost > b.cost; });
  const auto threads =
      std::clamp<std::size_t>(options.threads, 1, std::max<std::size_t>(jobs.size(), 1));
  if (match && result.matrices.empty() && result.broken.empty()) {
    throw Error("--match: expected the name of a 2-D tensor to have " +
                lorma::detail::in_quotes(options.match) + ", none does");
  }
  detail::Steps steps(monitor, total, false);
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    if (monitor.begin_thread) monitor.begin_thread();
    for (std::size_t i = next++; i < jobs.size(); i = next++) {
      MatrixLine& line = result.matrices[jobs[i].line];
      detail::measure(jobs[i], options.threshold, line);
      steps.done(jobs[i].cost, line.name);
      jobs[i].file.reset();
    }
  };
  std::vector<std::jthread> pool;
  for (std::size_t t = 1; t < threads; ++t) pool.emplace_back(work);
  work();
  pool.clear();
  return result;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
