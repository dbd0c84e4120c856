// SPDX-License-Identifier: Apache-2.0
#include <Eigen/QR>
#include <Eigen/SVD>

#include "ranks.hpp"
#include "studies.hpp"

namespace studies {
namespace {

/// ||T (I - R)||_F^2 / ||T||_F^2 with R the projector onto the rows of Z: what no P in P Z reaches.
double out_of_reach(const Matrix& Z, Index rank, const Matrix& T) {
  if (rank >= T.cols()) return 0.0;
  const Eigen::BDCSVD<lorma::Matrix<double>> svd(Z.cast<double>(), Eigen::ComputeThinV);
  const lorma::Matrix<double> target = T.cast<double>();
  const lorma::Matrix<double> kept = target * svd.matrixV().leftCols(rank);
  const double all = target.squaredNorm();
  return std::max(0.0, all - kept.squaredNorm()) / all;
}

}  // namespace

Json deficient_weight(const demo::Job& full, const demo::Plan& plan) {
  constexpr Index r = 8;
  const Index n = full.W0.rows();
  const Index weight_ranks[] = {n,     n * 99 / 100, n * 95 / 100, n * 9 / 10, n * 3 / 4,
                                n / 2, n / 4,        n / 8,        n / 16};
  demo::Progress progress(static_cast<int>(std::size(weight_ranks) * std::size(kinds) *
                                           (std::size(demo::rates) + demo::starts - 1)));
  const Eigen::BDCSVD<lorma::Matrix<double>> svd(full.W0.cast<double>(),
                                                 Eigen::ComputeThinU | Eigen::ComputeThinV);
  Json runs = Json::array();
  for (const Index rank : weight_ranks) {
    demo::Job job = full;
    job.W0 = (svd.matrixU().leftCols(rank) * svd.singularValues().head(rank).asDiagonal() *
              svd.matrixV().leftCols(rank).transpose())
                 .cast<float>();
    const double floor = out_of_reach(job.W0 * job.training.X, rank, job.training.target);
    const double start = (job.W0 * job.training.X - job.training.target).squaredNorm() /
                         static_cast<float>(job.training.energy);
    for (const demo::Kind kind : kinds) {
      const demo::Trained trained = demo::train(kind, job, r, plan, progress);
      demo::Method method;
      method.fits = trained.fits;
      demo::study_ranks(trained, job, method);
      runs.push_back({{"method", demo::name_of(kind)},
                      {"rank_of_W0", rank},
                      {"error_of_W0", start},
                      {"out_of_reach", floor},
                      {"rate", trained.fits.runs.front().rate},
                      {"end_error", demo::end_error(method).mean},
                      {"held_out_error", demo::held_out_error(method).mean},
                      {"rank_of_change", method.rank_of_change}});
    }
  }
  return {{"n", n}, {"r", r}, {"steps", plan.steps}, {"runs", std::move(runs)}};
}

}  // namespace studies
