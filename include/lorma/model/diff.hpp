// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_DIFF_HPP
#define LORMA_MODEL_DIFF_HPP

/// What differs between two checkpoints.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lorma/analysis/rank_report.hpp"
#include "lorma/analysis/rank_summary.hpp"
#include "lorma/model/checkpoint.hpp"
#include "lorma/model/compiled.hpp"
#include "lorma/model/monitor.hpp"
#include "lorma/model/tensor_panels.hpp"

namespace lorma::inline LORMA_ABI::model {

struct TensorDifference {
  std::string name;
  std::string dtype;  ///< of an adapter's layer: "Identity, Pre, rank 8"
  std::string shape;
  std::string other;             ///< type and shape in the other, where they differ
  std::string only_in;           ///< "the first" or "the second"; empty: both have it
  double relative = 0.0;         ///< ||b - a||_F / ||a||_F, or ||b|| where a = 0; NaN: not measured
  std::int64_t rank = -1;        ///< of b - a; -1: not measured, as where it is no matrix
  double stable_rank = 0.0;      ///< of b - a
  std::vector<double> spectrum;  ///< of b - a, where it was asked for
};

/// Every tensor that differs in its bytes, type or shape, or that only one of the two has. Changes
/// of one shape and of types with arithmetic are measured. Memory: a few square matrices of a
/// matrix's smaller side, in double. Cost m n min(m, n) flops for a matrix that differs, 2.5 times
/// that with spectra or where one of the types is F64. Throws Error.
LORMA_MODEL_FUNCTION std::vector<TensorDifference> diff(const std::filesystem::path& a,
                                                        const std::filesystem::path& b,
                                                        bool with_spectra,
                                                        const Monitor& monitor = {});

#ifdef LORMA_MODEL_BODIES
namespace detail {

/// Squares of ||b - a|| and ||a||.
struct ChangeNorms {
  double change = 0.0;
  double before = 0.0;

  double relative() const { return std::sqrt(before > 0.0 ? change / before : change); }
};

/// Of tensors of one shape, whatever their dimensions.
inline ChangeNorms change_norms(const StoredTensor& before, const StoredTensor& after) {
  const std::size_t total = before.bytes.size() / (dtype_bits(before.dtype) / 8);
  constexpr std::size_t most = std::size_t(1) << 16;
  Vector<double> a, b;
  ChangeNorms norms;
  for (std::size_t i = 0; i < total; i += most) {
    const std::size_t count = std::min(most, total - i);
    a.resize(static_cast<Index>(count));
    b.resize(static_cast<Index>(count));
    load_elements<double>(before, i, {a.data(), count});
    load_elements<double>(after, i, {b.data(), count});
    norms.before += a.squaredNorm();
    norms.change += (b - a).squaredNorm();
  }
  return norms;
}

/// Calls f with a few rows at a time of b - a, for two matrices of one shape. Throws Stopped.
template <typename F>
void for_panels_of_change(const Panels& before, const Panels& after, const Monitor& monitor,
                          F&& f) {
  Matrix<double> a, b;
  for (Index i = 0; i < before.rows(); i += analysis::rows_at_a_time) {
    monitor.check();
    const Index count = std::min(analysis::rows_at_a_time, before.rows() - i);
    before.read(i, count, a);
    after.read(i, count, b);
    b -= a;
    f(b);
  }
}

/// The singular values of b - a for two matrices of one shape. Throws Stopped.
inline Eigen::VectorXd spectrum_of_change(const Panels& before, const Panels& after,
                                          const Monitor& monitor) {
  analysis::TallTriangle<> triangle(before.cols());
  for_panels_of_change(before, after, monitor,
                       [&](const Matrix<double>& rows) { triangle.add(rows); });
  return analysis::singular_values(triangle.upper());
}

/// Rank and stable rank of b - a from its Gram matrix, by the tolerance of float; nothing where
/// that does not tell, or is not worth it. The squares of both types are to be within the range of
/// double. Throws Stopped.
inline std::optional<analysis::RankSummary> rank_of_change(const Panels& before,
                                                           const Panels& after,
                                                           const Monitor& monitor) {
  constexpr Index worth = 96;
  if (before.cols() < worth) return std::nullopt;
  analysis::TallGram<> gram(before.cols());
  for_panels_of_change(before, after, monitor, [&](const Matrix<double>& rows) { gram.add(rows); });
  return analysis::rank_summary_of_gram<float>(gram.lower(), before.rows());
}

inline void measure(const SafetensorsFile& file, const StoredTensor& before,
                    const SafetensorsFile& other, const StoredTensor& after, bool with_spectra,
                    const Monitor& monitor, TensorDifference& d) {
  d.relative = change_norms(before, after).relative();
  file.forget(before.bytes);
  other.forget(after.bytes);
  if (before.shape.size() != 2 || before.bytes.empty() || !std::isfinite(d.relative)) return;
  const Panels panels(file, before);
  const Panels panels_after(other, after);
  // By float's tolerance: double's would count the rounding of the weights as rank.
  if (!with_spectra && before.dtype != Dtype::F64 && after.dtype != Dtype::F64) {
    if (const auto summary = rank_of_change(panels, panels_after, monitor)) {
      d.rank = summary->rank;
      d.stable_rank = summary->stable_rank;
      return;
    }
  }
  const Eigen::VectorXd sigma = spectrum_of_change(panels, panels_after, monitor);
  const auto judged = Matrix<float>::Zero(panels.rows(), panels.cols());
  const auto report = analysis::rank_report_from(sigma, judged);
  d.rank = report.rank;
  d.stable_rank = report.stable_rank;
  if (with_spectra) d.spectrum.assign(sigma.data(), sigma.data() + sigma.size());
}

/// What is said of every tensor, none of it measured.
inline TensorDifference line_of(const StoredTensor& tensor) {
  TensorDifference d;
  d.name = tensor.name;
  d.dtype = dtype_name(tensor.dtype);
  d.shape = lorma::detail::shape_text(tensor.shape);
  d.relative = std::numeric_limits<double>::quiet_NaN();
  return d;
}

/// Whether two tensors differ; what can be told of their difference goes to the line of the first.
inline bool differ(const SafetensorsFile& file, const StoredTensor& before,
                   const SafetensorsFile& other, const StoredTensor& after, bool with_spectra,
                   const Monitor& monitor, TensorDifference& d) {
  if (same_bytes(before, after)) {
    file.forget(before.bytes);
    other.forget(after.bytes);
    return false;
  }
  if (before.dtype != after.dtype || before.shape != after.shape) {
    const TensorDifference there = line_of(after);
    d.other = there.dtype + ' ' + there.shape;
  }
  if (before.shape == after.shape && has_arithmetic(before.dtype) && has_arithmetic(after.dtype)) {
    measure(file, before, other, after, with_spectra, monitor, d);
  }
  return true;
}

}  // namespace detail

LORMA_MODEL_FUNCTION std::vector<TensorDifference> diff(const std::filesystem::path& a,
                                                        const std::filesystem::path& b,
                                                        bool with_spectra, const Monitor& monitor) {
  const Checkpoint one(a);
  const Checkpoint other(b);
  std::vector<TensorDifference> result;
  detail::Steps steps(monitor, one.bytes(), true);
  for (const auto& file : one.files()) {
    for (const StoredTensor& before : file->tensors()) {
      steps.done(static_cast<double>(before.bytes.size()), before.name);
      monitor.check();
      const Checkpoint::Found after = other.find(before.name);
      TensorDifference d = detail::line_of(before);
      if (after.file == nullptr) {
        d.only_in = "the first";
      } else if (!detail::differ(*file, before, *after.file, *after.tensor, with_spectra, monitor,
                                 d)) {
        continue;
      }
      result.push_back(std::move(d));
    }
  }
  for (const auto& file : other.files()) {
    for (const StoredTensor& tensor : file->tensors()) {
      if (one.find(tensor.name).file != nullptr) continue;
      TensorDifference d = detail::line_of(tensor);
      d.only_in = "the second";
      result.push_back(std::move(d));
    }
  }
  return result;
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
