// SPDX-License-Identifier: Apache-2.0
#include "diff.hpp"

#include <iomanip>
#include <lorma/analysis/rank_report.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "checkpoint.hpp"
#include "progress.hpp"
#include "stored_weight.hpp"

namespace lorma_tool {
namespace {

using lorma::Matrix;
using lorma::StoredTensor;

}  // namespace

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
  Progress progress(progress_wanted, one.bytes(), Progress::Unit::bytes);
  for (const auto& file : one.files()) {
    for (const StoredTensor& before : file->tensors()) {
      progress.done(static_cast<double>(before.bytes.size()), before.name);
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

void print(std::ostream& out, const std::vector<TensorDifference>& differences) {
  std::ostringstream text;
  for (const TensorDifference& d : differences) {
    text << lorma::detail::escaped(d.name) << ' ' << d.dtype << ' ' << d.shape << ": ";
    if (d.only_in_one) {
      text << "only in one, or of another shape\n";
    } else {
      text << "relative change " << std::scientific << std::setprecision(3) << d.relative
           << ", rank " << d.rank << ", stable rank " << std::fixed << std::setprecision(1)
           << d.stable_rank << '\n';
    }
  }
  if (differences.empty()) text << "no difference\n";
  out << text.str();
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
