// SPDX-License-Identifier: Apache-2.0
#include <sstream>

#include "fit.hpp"
#include "lora.hpp"
#include "lorma/adapter/compiled.hpp"
#include "lorma/analysis/training_recorder.hpp"
#include "studies.hpp"

namespace studies {
namespace {

/// The rate by the demo's sweep, then one more run with it that is recorded.
template <typename Layer>
Json follow(const char* name, Layer layer, const demo::Job& job, const demo::Plan& plan,
            demo::Progress& progress) {
  progress.method(name);
  const demo::Fits fits = demo::sweep_and_fit(layer, job, plan, progress);
  const double rate = fits.runs.front().rate;
  lorma::analysis::TrainingRecorder recorder;
  progress.begin_run("recorded");
  const demo::Run run = demo::fit(
      layer, job, plan, rate, progress,
      [&](long step, double error, const Layer& l, const typename Layer::Gradients& gradients) {
        if constexpr (std::is_same_v<Layer, demo::Lora>) {
          recorder.record_additive(step, error, l.A(), l.B(), static_cast<double>(l.scale()),
                                   gradients);
        } else {
          recorder.record(step, error, l, gradients, job.W0);
        }
      });
  std::stringstream records;
  recorder.write_json(records);
  return {{"method", name},
          {"rate", rate},
          {"area", run.area()},
          {"end_error", run.end()},
          {"held_out_error", run.held_out},
          {"records", Json::parse(records)}};
}

}  // namespace

Json gradient_flow(const demo::Job& job, const demo::Plan& plan) {
  constexpr Index r = 8;
  const Index n = job.W0.rows();
  const float alpha = static_cast<float>(r);
  demo::Progress progress(4 * static_cast<int>(std::size(demo::rates) + demo::starts));
  Json runs = Json::array();
  const auto add = [&](demo::Kind kind, auto layer) {
    runs.push_back(follow(demo::name_of(kind), std::move(layer), job, plan, progress));
  };
  add(demo::Kind::lora, demo::Lora(n, job.W0.cols(), r, alpha));
  add(demo::Kind::none, lorma::Adapter<float, lorma::None>(n, r, alpha));
  add(demo::Kind::identity, lorma::Adapter<float, lorma::Identity>(n, r, alpha));
  add(demo::Kind::cyclic_permutation, lorma::Adapter<float, lorma::CyclicPermutation>(n, r, alpha));
  return {{"n", n}, {"r", r}, {"steps", plan.steps}, {"runs", std::move(runs)}};
}

}  // namespace studies
