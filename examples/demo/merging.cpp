// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>

#include "with_layer.hpp"

namespace demo {
namespace {

double relative(const Matrix& got, const Matrix& wanted) {
  return (got - wanted).cast<double>().norm() / wanted.cast<double>().norm();
}

/// Twice sqrt(n) eps: how rounding errors of sums of n terms grow when they are independent (Higham
/// and Mary, 2019); n in place of sqrt(n) holds always.
double rounding(Index n) {
  return 2 * std::sqrt(double(n)) * double(std::numeric_limits<float>::epsilon());
}

}  // namespace

void check_merging(const Trained& trained, const Job& job, Method& method) {
  const Matrix& W0 = job.W0;
  const Matrix& X = job.held_out.X;
  with_layer(trained, [&](auto& layer) {
    Matrix W = W0;
    layer.merge_in_place(W);
    // Both ways add up products whose magnitudes sum to |P| |W0| |X|, at most.
    auto magnitude = layer;
    magnitude.A() = layer.A().cwiseAbs();
    magnitude.B() = layer.B().cwiseAbs();
    Matrix sums = W0.cwiseAbs();
    magnitude.merge_in_place(sums);
    const double size = (sums * X.cwiseAbs()).norm() / trained.adapted.norm();
    method.merge = {relative(W * X, trained.adapted), rounding(W0.cols()) * size};

    // Undoing a product multiplies its rounding by the condition number; undoing a sum, by the
    // sum's size against W0's.
    const double amplified = method.condition ? *method.condition : 1 + W.norm() / W0.norm();
    const Matrix merged = W;
    try {
      layer.unmerge_in_place(W);
      method.unmerge = Check{relative(W, W0), rounding(W0.rows()) * amplified};
    } catch (const lorma::RankDeficient& refused) {
      method.refusal = refused.what();
      method.untouched = W == merged;
    }
  });
}

}  // namespace demo
