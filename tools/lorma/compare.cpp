// SPDX-License-Identifier: Apache-2.0
#include "compare.hpp"

#include <lorma/analysis/find_multiplier.hpp>
#include <lorma/analysis/rank_report.hpp>
#include <lorma/io/lorma_directory.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <regex>

#include "checkpoint.hpp"
#include "progress.hpp"

namespace lorma_tool {
namespace {

using lorma::Index;
using lorma::Matrix;
using lorma::StoredTensor;

bool same_bytes(const StoredTensor& a, const StoredTensor& b) {
  return a.dtype == b.dtype && a.shape == b.shape &&
         std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end());
}

/// Why a changed tensor cannot get a multiplier; empty when it can.
std::string obstacle(const StoredTensor& tensor) {
  if (!has_arithmetic(tensor.dtype)) return "its type has no arithmetic";
  if (tensor.shape.size() != 2) return "it is no matrix";
  if (tensor.name.find("embed") != std::string::npos || tensor.name.find("wte") == 0 ||
      tensor.name.find("wpe") == 0) {
    return "it is an embedding";
  }
  return "";
}

template <typename Side>
lorma::analysis::ExtractedFactors factors_for(const Matrix<double>& W0, const Matrix<double>& W,
                                              const ExtractOptions& options) {
  const Index n = Side::dim(W0.rows(), W0.cols());
  const Index most = std::min<Index>(options.rank, n);
  auto found = lorma::analysis::extract<Side>(W0, W, most);
  if (options.energy >= 1.0) return found;
  const double wanted = options.energy * found.spectrum.squaredNorm();
  double kept = 0.0;
  Index rank = 0;
  for (; rank < std::min<Index>(most, found.spectrum.size()) && kept < wanted; ++rank) {
    kept += found.spectrum(rank) * found.spectrum(rank);
  }
  return lorma::analysis::extract<Side>(W0, W, std::max<Index>(1, rank));
}

}  // namespace

Extraction extract(const ExtractOptions& options) {
  if (std::filesystem::exists(options.out)) {
    throw lorma::Error(lorma::detail::in_quotes(options.out.string(), 1024) +
                       ": expected an output that does not exist");
  }
  std::optional<std::regex> match;
  if (!options.match.empty()) match.emplace(options.match);
  const Checkpoint base(options.base);
  const Checkpoint tuned(options.tuned);
  double total = 0.0;
  for (const auto& file : base.files()) total += static_cast<double>(file->tensors().size());
  Progress progress(options.progress, std::max(total, 1.0));
  Extraction result;
  lorma::LormaAdapter adapter;
  for (const auto& file : base.files()) {
    for (const StoredTensor& before : file->tensors()) {
      progress.done(1.0, before.name);
      if (match && !std::regex_search(before.name, *match)) continue;
      const Checkpoint::Found after = tuned.find(before.name);
      const std::string name = lorma::detail::in_quotes(before.name);
      if (after.file == nullptr) {
        result.left_alone.push_back(name + ": the tuned checkpoint has no such tensor");
        continue;
      }
      if (same_bytes(before, *after.tensor)) continue;
      if (before.shape != after.tensor->shape) {
        throw lorma::FormatError(name + ": expected one shape in both, got " +
                                 lorma::detail::shape_text(before.shape) + " and " +
                                 lorma::detail::shape_text(after.tensor->shape));
      }
      std::string why = obstacle(before);
      if (why.empty()) why = obstacle(*after.tensor);
      if (!why.empty()) {
        result.left_alone.push_back(name + ": changed, but " + why);
        continue;
      }
      const Matrix<double> W0 = file->matrix<double>(before.name);
      const Matrix<double> W = after.file->matrix<double>(before.name);
      const auto found = options.side == "Pre" ? factors_for<lorma::Pre>(W0, W, options)
                                               : factors_for<lorma::Post>(W0, W, options);
      lorma::LormaLayer layer;
      layer.weight = before.name;
      layer.side = options.side;
      layer.B = found.B.cast<float>();
      layer.A = found.A.cast<float>();
      layer.alpha = static_cast<double>(found.A.rows());
      layer.fingerprint = lorma::fingerprint(before);
      result.layers.push_back({before.name, found.A.rows(), found.residual, found.unreachable});
      adapter.layers.push_back(std::move(layer));
      file->forget(before.bytes);
      after.file->forget(after.tensor->bytes);
    }
  }
  lorma::write_lorma_adapter(options.out, adapter);
  return result;
}

std::vector<TensorDifference> diff(const std::filesystem::path& a, const std::filesystem::path& b,
                                   bool with_spectra, bool progress_wanted) {
  const Checkpoint one(a);
  const Checkpoint other(b);
  std::vector<TensorDifference> result;
  const auto line = [](const StoredTensor& t) {
    TensorDifference d;
    d.name = t.name;
    d.dtype = lorma::dtype_name(t.dtype);
    d.shape = lorma::detail::shape_text(t.shape);
    return d;
  };
  double total = 0.0;
  for (const auto& file : one.files()) total += static_cast<double>(file->tensors().size());
  Progress progress(progress_wanted, std::max(total, 1.0));
  for (const auto& file : one.files()) {
    for (const StoredTensor& before : file->tensors()) {
      progress.done(1.0, before.name);
      const Checkpoint::Found after = other.find(before.name);
      TensorDifference d = line(before);
      if (after.file == nullptr || after.tensor->shape != before.shape) {
        d.only_in_one = true;
        result.push_back(std::move(d));
        continue;
      }
      if (same_bytes(before, *after.tensor)) continue;
      if (!has_arithmetic(before.dtype) || !has_arithmetic(after.tensor->dtype) ||
          before.shape.size() < 1 || before.shape.size() > 2) {
        d.relative = std::numeric_limits<double>::quiet_NaN();
        result.push_back(std::move(d));
        continue;
      }
      Matrix<double> A;
      Matrix<double> change;
      if (before.shape.size() == 2) {
        A = file->matrix<double>(before.name);
        change = after.file->matrix<double>(before.name) - A;
      } else {
        A = file->vector<double>(before.name);
        change = after.file->vector<double>(before.name) - A;
      }
      const double size = A.norm();
      d.relative = size > 0.0 ? change.norm() / size : change.norm();
      if (before.shape.size() == 2 && change.allFinite() && change.size() > 0) {
        // Weights are known to their own type's precision, so the change is judged by float's.
        const Matrix<float> judged = change.cast<float>();
        const Eigen::VectorXd sigma = lorma::analysis::singular_values(judged);
        const auto report = lorma::analysis::rank_report_from(sigma, judged);
        d.rank = report.rank;
        d.stable_rank = report.stable_rank;
        if (with_spectra) d.spectrum.assign(sigma.data(), sigma.data() + sigma.size());
      }
      result.push_back(std::move(d));
      file->forget(before.bytes);
      after.file->forget(after.tensor->bytes);
    }
  }
  for (const auto& file : other.files()) {
    for (const StoredTensor& tensor : file->tensors()) {
      if (one.find(tensor.name).file != nullptr) continue;
      TensorDifference d = line(tensor);
      d.only_in_one = true;
      result.push_back(std::move(d));
    }
  }
  return result;
}

std::string to_json(const std::vector<TensorDifference>& differences) {
  auto json = nlohmann::ordered_json::array();
  for (const TensorDifference& d : differences) {
    nlohmann::ordered_json entry{{"name", d.name}, {"dtype", d.dtype}, {"shape", d.shape}};
    if (d.only_in_one) {
      entry["only_in_one"] = true;
    } else {
      entry["relative"] = d.relative;
      entry["rank"] = d.rank;
      entry["stable_rank"] = d.stable_rank;
      if (!d.spectrum.empty()) entry["spectrum"] = d.spectrum;
    }
    json.push_back(std::move(entry));
  }
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
}

}  // namespace lorma_tool
