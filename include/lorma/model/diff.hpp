// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_DIFF_HPP
#define LORMA_MODEL_DIFF_HPP

/// What differs between two checkpoints.

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "lorma/analysis/rank_report.hpp"
#include "lorma/model/checkpoint.hpp"
#include "lorma/model/monitor.hpp"
#include "lorma/model/stored_weight.hpp"

namespace lorma::inline LORMA_ABI::model {

struct TensorDifference {
  std::string name;
  std::string dtype;
  std::string shape;
  bool only_in_one = false;
  double relative = 0.0;         ///< ||b - a||_F / ||a||_F, or ||b|| where a = 0
  std::int64_t rank = 0;         ///< of b - a; 2-D tensors
  double stable_rank = 0.0;      ///< of b - a
  std::vector<double> spectrum;  ///< of b - a, where it was asked for
};

/// Every tensor that differs. Types must be of arithmetic; others are compared byte for byte.
LORMA_MODEL_FUNCTION std::vector<TensorDifference> diff(const std::filesystem::path& a,
                                                        const std::filesystem::path& b,
                                                        bool with_spectra,
                                                        const Monitor& monitor = {});

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION std::vector<TensorDifference> diff(const std::filesystem::path& a,
                                                        const std::filesystem::path& b,
                                                        bool with_spectra, const Monitor& monitor) {
  const Checkpoint one(a);
  const Checkpoint other(b);
  std::vector<TensorDifference> result;
  const auto line = [](const StoredTensor& t) {
    TensorDifference d;
    d.name = t.name;
    d.dtype = dtype_name(t.dtype);
    d.shape = lorma::detail::shape_text(t.shape);
    return d;
  };
  detail::Steps steps(monitor, one.bytes(), true);
  for (const auto& file : one.files()) {
    for (const StoredTensor& before : file->tensors()) {
      steps.done(static_cast<double>(before.bytes.size()), before.name);
      monitor.check();
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
        const Eigen::VectorXd sigma = analysis::singular_values(judged);
        const auto report = analysis::rank_report_from(sigma, judged);
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

#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
