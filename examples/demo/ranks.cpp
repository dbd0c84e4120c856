// SPDX-License-Identifier: Apache-2.0
#include "ranks.hpp"

#include "lorma/analysis/adapter_rank.hpp"
#include "lorma/analysis/rank_report.hpp"
#include "with_layer.hpp"

namespace demo {

Weight weigh(std::string name, const Matrix& W) {
  const lorma::analysis::RankReport report = lorma::analysis::rank_report(W);
  return {std::move(name),       W.rows(),       W.cols(),       report.rank,
          report.near_full_rank, report.largest, report.smallest};
}

double beyond_rank(const Matrix& output, Index r) {
  const Eigen::VectorXd sigma = lorma::analysis::singular_values(output);
  return sigma.tail(std::max<Index>(0, sigma.size() - r)).squaredNorm();
}

void study_ranks(const Trained& trained, const Job& job, Method& method) {
  with_layer(trained, [&](const auto& layer) {
    method.parameters = layer.parameters();
    if constexpr (std::is_same_v<std::decay_t<decltype(layer)>, Lora>) {
      const lorma::Matrix<double> change = double(layer.scale()) *
                                           layer.B().template cast<double>() *
                                           layer.A().template cast<double>();
      method.rank_of_change = lorma::analysis::numerical_rank(change);
    } else {
      method.rank_of_P = lorma::analysis::inflated_rank(layer);
      method.rank_of_change = lorma::analysis::delta_rank(layer, job.W0);
      if (*method.rank_of_P == layer.dim()) {
        method.condition = lorma::analysis::condition_number(layer.inflated());
      }
    }
  });
}

}  // namespace demo
