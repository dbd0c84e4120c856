// SPDX-License-Identifier: Apache-2.0
#include "ranks.hpp"
#include "studies.hpp"

namespace studies {

Json rank_of_change(const demo::Job& job, const demo::Plan& plan) {
  constexpr Index factor_ranks[] = {1, 2, 4, 8, 16, 32, 64};
  demo::Progress progress(static_cast<int>(std::size(factor_ranks) * std::size(kinds) *
                                           (std::size(demo::rates) + demo::starts - 1)));
  Json runs = Json::array();
  for (const Index r : factor_ranks) {
    for (const demo::Kind kind : kinds) {
      const demo::Trained trained = demo::train(kind, job, r, plan, progress);
      demo::Method method;
      method.fits = trained.fits;
      demo::study_ranks(trained, job, method);
      Json run{{"method", demo::name_of(kind)},
               {"r", r},
               {"parameters", method.parameters},
               {"rate", trained.fits.runs.front().rate},
               {"end_error", demo::end_error(method).mean},
               {"held_out_error", demo::held_out_error(method).mean},
               {"rank_of_change", method.rank_of_change}};
      run["rank_of_P"] = method.rank_of_P ? Json(*method.rank_of_P) : Json(nullptr);
      run["condition"] = method.condition ? Json(*method.condition) : Json(nullptr);
      runs.push_back(std::move(run));
    }
  }
  return {{"n", job.W0.rows()}, {"steps", plan.steps}, {"runs", std::move(runs)}};
}

}  // namespace studies
