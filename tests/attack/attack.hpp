// SPDX-License-Identifier: Apache-2.0
/// Random search for a result outside of its documented bound.
#pragma once
#include <doctest/doctest.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <lorma/core/types.hpp>
#include <random>

namespace lorma_attack {

/// The trials of each search: LORMA_ATTACK_TRIALS, else the few that every run of the tests
/// affords.
inline std::int64_t trials(std::int64_t in_every_run) {
  const char* wanted = std::getenv("LORMA_ATTACK_TRIALS");
  return wanted == nullptr ? in_every_run : std::atoll(wanted);
}

/// Calls `trial(urbg)`, which draws a case and returns its error over its bound, once for each seed
/// from LORMA_ATTACK_FIRST (0) on; prints the worst ratio with its seed, and fails where one is
/// above 1 or NaN. A case is found again by its seed alone: LORMA_ATTACK_FIRST=seed
/// LORMA_ATTACK_TRIALS=1.
template <typename Trial>
void search(const char* name, std::int64_t in_every_run, Trial&& trial) {
  const char* first = std::getenv("LORMA_ATTACK_FIRST");
  const std::int64_t begin = first == nullptr ? 0 : std::atoll(first);
  const std::int64_t end = begin + trials(in_every_run);
  double worst = 0;
  std::int64_t worst_seed = begin;
  for (std::int64_t seed = begin; seed < end; ++seed) {
    std::mt19937_64 urbg(static_cast<std::uint64_t>(seed));
    const double ratio = trial(urbg);
    if (!(ratio <= worst)) {  // a NaN too
      worst = ratio;
      worst_seed = seed;
      if (!(ratio <= 1)) break;
    }
  }
  std::printf("attack: %-44s %8lld trials, worst ratio of error to bound %.3g (seed %lld)\n", name,
              static_cast<long long>(end - begin), worst, static_cast<long long>(worst_seed));
  std::fflush(stdout);  // the next search may take an hour
  INFO("the search: ", name, ", the seed: ", worst_seed);
  CHECK(worst <= 1.0);
}

/// What a trial draws.
struct Draw {
  std::mt19937_64& urbg;
  double uniform(double a, double b) { return std::uniform_real_distribution<double>(a, b)(urbg); }
  lorma::Index index(lorma::Index a, lorma::Index b) {
    return std::uniform_int_distribution<lorma::Index>(a, b)(urbg);
  }
  lorma::Matrix<double> normal(lorma::Index m, lorma::Index n) {
    std::normal_distribution<double> d;
    return lorma::Matrix<double>::NullaryExpr(m, n, [&] { return d(urbg); });
  }
};

}  // namespace lorma_attack
