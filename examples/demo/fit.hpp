// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_FIT_HPP
#define LORMA_EXAMPLES_DEMO_FIT_HPP

/// Fits a layer by Adam on its output error 1/b ||(W - W_target) X||_F^2, and picks the learning
/// rate by one sweep that is the same for every method.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <vector>

#include "adam.hpp"
#include "batches.hpp"
#include "lorma/core/error.hpp"
#include "progress.hpp"
#include "results.hpp"
#include "text.hpp"

namespace demo {

template <typename Layer>
double relative_error(const Layer& layer, const Matrix& W0, const Tokens& tokens,
                      typename Layer::Tape& tape) {
  Matrix H(W0.rows(), tokens.X.cols());
  layer.forward_into(H, W0, tokens.X, tape);
  return (H - tokens.target).cast<double>().squaredNorm() / tokens.energy;
}

struct NoObserver {
  template <typename Layer>
  void operator()(long, double, const Layer&, const typename Layer::Gradients&) const {}
};

/// observe(step, training error, layer, gradients of that step) whenever the error is taken.
template <typename Layer, typename Observer = NoObserver>
Run fit(Layer& layer, const Job& job, const Plan& plan, double rate, Progress& progress,
        Observer&& observe = {}) {
  using Clock = std::chrono::steady_clock;
  std::mt19937_64 urbg(plan.seed);
  layer.initialize(urbg);
  Batches batch(job.training, batch_size, plan.seed);
  Adam step_A(static_cast<float>(rate));
  Adam step_B(static_cast<float>(rate));
  typename Layer::Tape tape;
  typename Layer::Tape tape_of_all;
  typename Layer::Gradients gradients;
  Matrix H(job.W0.rows(), batch.X.cols());

  Run run;
  run.rate = rate;
  std::vector<double> times;
  const auto record = [&](long step) {
    run.steps.push_back(step);
    run.training.push_back(relative_error(layer, job.W0, job.training, tape_of_all));
    progress.step(step, plan.steps, run.training.back());
  };
  record(0);
  for (long step = 1; step <= plan.steps; ++step) {
    batch.advance();
    const auto begin = Clock::now();
    layer.forward_into(H, job.W0, batch.X, tape);
    H = (2.0F / static_cast<float>(batch.X.cols())) * (H - batch.target);  // now the gradient in H
    layer.backward_into(gradients, job.W0, H, tape);
    step_A.step(layer.A(), gradients.dA);
    step_B.step(layer.B(), gradients.dB);
    times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
    if (step % plan.report_every() == 0 || step == plan.steps) {
      record(step);
      observe(step, run.training.back(), layer, gradients);
    }
  }
  run.held_out = relative_error(layer, job.W0, job.held_out, tape_of_all);
  std::nth_element(times.begin(), times.begin() + std::ptrdiff_t(times.size() / 2), times.end());
  run.milliseconds = times[times.size() / 2];
  return run;
}

/// Leaves `layer` as the first seed's run with the chosen rate made it.
template <typename Layer>
Fits sweep_and_fit(Layer& layer, const Job& job, const Plan& plan, Progress& progress) {
  Fits fits;
  std::size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  Layer chosen = layer;
  for (const double rate : rates) {
    progress.begin_run("rate " + number(rate));
    fits.sweep.push_back(fit(layer, job, plan, rate, progress));
    if (const Run& run = fits.sweep.back(); run.finite() && run.end() < least) {
      least = run.end();
      best = fits.sweep.size() - 1;
      chosen = layer;
    }
  }
  if (!std::isfinite(least)) throw lorma::NonFinite("every learning rate of the sweep diverged");
  fits.rate_at_edge = best == 0 || best + 1 == std::size(rates);
  fits.runs.push_back(fits.sweep[best]);
  for (int start = 1; start < starts; ++start) {
    progress.begin_run("start " + std::to_string(start + 1));
    const Plan again{plan.steps, plan.seed + static_cast<std::uint64_t>(start)};
    fits.runs.push_back(fit(layer, job, again, rates[best], progress));
  }
  layer = chosen;
  return fits;
}

}  // namespace demo

#endif
