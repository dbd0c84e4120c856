// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_INSPECT_HPP
#define LORMA_MODEL_INSPECT_HPP

/// The rank of every matrix of a checkpoint.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lorma/analysis/rank_report.hpp"
#include "lorma/analysis/rank_summary.hpp"
#include "lorma/io/paths.hpp"
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
  std::int64_t rank_beyond_storage = 0;  ///< what rounding to the dtype cannot have added
  double fraction = 0.0;                 ///< rank / min(rows, cols); 1 for an empty matrix
  double condition = 0.0;
  double stable_rank = 0.0;
  double effective_rank = 0.0;  ///< where spectra were asked for, else 0
  double largest = 0.0;
  double smallest = 0.0;
  bool near_full_rank = false;
  std::vector<double> spectrum;  ///< all singular values, descending, where they were asked for
  std::string error;             ///< why there are no numbers; empty when there are
};

struct InspectOptions {
  /// Safetensors files, index files of sharded models, and directories with either.
  std::vector<std::filesystem::path> files;
  std::string match;  ///< an expression of Python's `re` that is searched in names; empty: all
  double threshold = 0.99;
  bool spectra = false;  ///< all singular values, and the effective rank, which needs them
  unsigned threads = 1;  ///< matrices at a time
};

struct Inspection {
  double threshold = 0.99;
  std::vector<MatrixLine> matrices;
  bool spectra = false;
  std::vector<std::string> broken;  ///< one line a file that could not be read, or is not whole
  std::size_t skipped = 0;          ///< 2-D tensors of types without arithmetic here
  std::size_t deeper = 0;           ///< tensors of three dimensions and more

  std::size_t near_full() const;
  /// 2 when a file or matrix could not be read, else 1 when a matrix is below the threshold, else
  /// 0.
  int exit_code() const;
};

/// Files are mapped and matrices read in place. Memory per thread: a few square matrices of the
/// smaller side, in double; the matrix in double if it is F64, or if its sides differ less than
/// threefold and all singular values are wanted. Cost: that of rank_summary, or of all singular
/// values. A file or matrix that cannot be read, and a tensor that an index names but no file has,
/// are reported in the result; the others are still done. Throws Error for a bad expression, and
/// for one that matches no name.
LORMA_MODEL_FUNCTION Inspection inspect(const InspectOptions& options, const Monitor& monitor = {});

#ifdef LORMA_MODEL_BODIES
namespace detail {

struct Job {
  std::shared_ptr<const SafetensorsFile> file;
  std::size_t tensor = 0;
  std::size_t line = 0;
  double cost = 0.0;
};

template <typename T>
void measure(const SafetensorsFile& file, const InspectOptions& options, MatrixLine& line) {
  const StoredMatrix<T> stored = file.matrix_view<T>(line.name);
  const auto M = stored.map();
  const auto take = [&line](const auto& measured) {
    line.rank = measured.rank;
    line.rank_beyond_storage = measured.rank_beyond_storage;
    line.condition = measured.condition;
    line.stable_rank = measured.stable_rank;
    line.largest = measured.largest;
    line.smallest = measured.smallest;
  };
  if (options.spectra) {
    const Eigen::VectorXd sigma = analysis::singular_values_by_panels(M);
    const auto report = analysis::rank_report_from(sigma, M);
    take(report);
    line.effective_rank = report.effective_rank;
    line.spectrum.assign(sigma.data(), sigma.data() + sigma.size());
  } else {
    take(analysis::rank_summary(M));
  }
  const auto full = static_cast<double>(std::min(M.rows(), M.cols()));
  line.fraction = full > 0.0 ? static_cast<double>(line.rank) / full : 1.0;
  line.near_full_rank = static_cast<double>(line.rank) >= options.threshold * full;
}

inline void measure(const Job& job, const InspectOptions& options, MatrixLine& line) {
  const StoredTensor& tensor = job.file->tensors()[job.tensor];
  try {
    with_stored_type(tensor.dtype,
                     [&](auto zero) { measure<decltype(zero)>(*job.file, options, line); });
  } catch (const std::exception& error) {
    line.error = error.what();
  }
  job.file->forget(tensor.bytes);
}

/// The files that a path means; problems with an index go to `broken`.
inline std::vector<std::filesystem::path> files_of(const std::filesystem::path& path,
                                                   std::vector<std::string>& broken) {
  namespace fs = std::filesystem;
  if (path.extension() == ".json") {
    for (const std::string& problem : index_problems(path)) {
      broken.push_back(lorma::detail::in_quotes(path.string(), 1024) + ": " + problem);
    }
    return shards_of(path);
  }
  if (!lorma::detail::path_is_directory(path)) return {path};
  const fs::path index = path / "model.safetensors.index.json";
  if (lorma::detail::path_exists(index)) return files_of(index, broken);
  std::vector<fs::path> files;
  for (const fs::path& file : lorma::detail::paths_in(path)) {
    if (file.extension() == ".safetensors") files.push_back(file);
  }
  if (!files.empty()) return files;
  throw Error(lorma::detail::in_quotes(path.string(), 1024) +
              ": expected safetensors files in it, got none");
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
  result.spectra = options.spectra;
  std::vector<std::filesystem::path> paths;
  for (const std::filesystem::path& path : options.files) {
    try {
      const auto files = detail::files_of(path, result.broken);
      paths.insert(paths.end(), files.begin(), files.end());
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
        if (tensor.shape.size() < 2) continue;
        if (match && !match->finds(tensor.name)) continue;
        if (tensor.shape.size() > 2) {
          ++result.deeper;
          continue;
        }
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
  // The largest first, so that no thread finishes long after the others.
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
    try {
      if (monitor.begin_thread) monitor.begin_thread();
      for (std::size_t i = next++; i < jobs.size(); i = next++) {
        if (monitor.stop && monitor.stop()) return;
        MatrixLine& line = result.matrices[jobs[i].line];
        detail::measure(jobs[i], options, line);
        steps.done(jobs[i].cost, line.name);
        jobs[i].file.reset();
      }
    } catch (...) {
      next = jobs.size();  // the other threads need not go on
      throw;
    }
  };
  std::vector<std::future<void>> pool;  // whose destructor waits
  for (std::size_t t = 1; t < threads; ++t) pool.push_back(std::async(std::launch::async, work));
  work();
  for (std::future<void>& thread : pool) thread.get();
  monitor.check();
  return result;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
