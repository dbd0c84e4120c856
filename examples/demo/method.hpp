// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_METHOD_HPP
#define LORMA_EXAMPLES_DEMO_METHOD_HPP

/// What the demo finds out about one method: its runs, ranks, and whether merging can be undone.

#include <cmath>
#include <limits>
#include <optional>
#include <string>

#include "fit.hpp"
#include "lora.hpp"
#include "lorma/lorma.hpp"

namespace demo {

/// A measured relative error and the most that rounding explains.
struct Check {
  double error = 0;
  double bound = 0;
  bool passed() const { return error <= bound; }
};

struct Method {
  std::string name;
  Index parameters = 0;
  Fits fits;
  std::optional<Index> rank_of_P;   ///< of I(BA); LoRA has none
  Index rank_of_change = 0;         ///< of W - W0
  std::optional<double> condition;  ///< of I(BA), unless singular
  Check merge;                      ///< merged against adapted output
  std::optional<Check> unmerge;     ///< weight after unmerge against W0
  std::string refusal;              ///< what unmerge said instead
  bool untouched = true;            ///< a refused unmerge left the weight as it was

  bool passed() const { return merge.passed() && (unmerge ? unmerge->passed() : untouched); }
};

inline double relative(const Matrix& got, const Matrix& wanted) {
  return (got - wanted).cast<double>().norm() / wanted.cast<double>().norm();
}

/// Twice sqrt(n) eps: how rounding errors of sums of n terms grow (Higham and Mary, 2019, who show
/// sqrt(n) for errors that are independent; n is the bound that holds always).
inline double rounding(Index n) {
  return 2 * std::sqrt(double(n)) * double(std::numeric_limits<float>::epsilon());
}

/// Merges, compares merged with adapted outputs, unmerges, compares the weight with W0.
/// `condition` is that of the map that is undone.
template <typename Layer>
void check_merging(const Layer& layer, const Job& job, double condition, Method& method) {
  const Matrix& W0 = job.W0;
  const Matrix& X = job.held_out.X;
  typename Layer::Tape tape;
  Matrix adapted(W0.rows(), X.cols());
  layer.forward_into(adapted, W0, X, tape);

  Matrix W = W0;
  layer.merge_in_place(W);
  // Both ways add up products whose magnitudes sum to |P| |W0| |X|, at most.
  Layer magnitude = layer;
  magnitude.A() = layer.A().cwiseAbs();
  magnitude.B() = layer.B().cwiseAbs();
  Matrix sums = W0.cwiseAbs();
  magnitude.merge_in_place(sums);
  const double size = (sums * X.cwiseAbs()).norm() / adapted.norm();
  method.merge = {relative(W * X, adapted), rounding(W0.cols()) * size};

  const Matrix merged = W;
  try {
    layer.unmerge_in_place(W);
    method.unmerge = Check{relative(W, W0), rounding(W0.rows()) * condition};
  } catch (const lorma::RankDeficient& refused) {
    method.refusal = refused.what();
    method.untouched = W == merged;
  }
}

/// LoRA.
inline Method try_lora(const Job& job, Index rank, const Plan& plan, Progress& progress) {
  Method method;
  method.name = "LoRA";
  progress.method(method.name);
  Lora layer(job.W0.rows(), job.W0.cols(), rank, static_cast<float>(rank));
  method.parameters = layer.parameters();
  method.fits = sweep_and_fit(layer, job, plan, progress);
  const lorma::Matrix<double> change =
      double(layer.scale()) * layer.B().cast<double>() * layer.A().cast<double>();
  method.rank_of_change = lorma::analysis::numerical_rank(change);
  // Added and taken away again: the sum's size against W0's is what rounding is multiplied by.
  const double growth = (job.W0.cast<double>() + change).norm() / job.W0.cast<double>().norm();
  check_merging(layer, job, 1 + growth, method);
  return method;
}

/// A method of this library.
template <typename Inflation>
Method try_lorma(const char* name, const Job& job, Index rank, const Plan& plan,
                 Progress& progress) {
  Method method;
  method.name = name;
  progress.method(method.name);
  lorma::Adapter<float, Inflation> layer(job.W0.rows(), rank, static_cast<float>(rank));
  method.parameters = layer.parameters();
  method.fits = sweep_and_fit(layer, job, plan, progress);
  method.rank_of_P = lorma::analysis::inflated_rank(layer);
  method.rank_of_change = lorma::analysis::delta_rank(layer, job.W0);
  const double condition = lorma::analysis::condition_number(layer.inflated());
  if (*method.rank_of_P == layer.dim()) method.condition = condition;
  check_merging(layer, job, condition, method);
  return method;
}

}  // namespace demo

#endif
