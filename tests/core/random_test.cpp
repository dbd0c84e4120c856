// SPDX-License-Identifier: Apache-2.0
// Random numbers: the same everywhere, and of the distribution they are named for.

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <lorma/core/random.hpp>
#include <vector>

TEST_CASE("SplitMix64 gives the numbers that its authors' program gives for the seed 1234567") {
  lorma::SplitMix64 bits(1234567);
  for (const std::uint64_t expected :
       {6457827717110365317U, 3203168211198807973U, 9817491932198370423U, 4593380528125082431U,
        16408922859458223821U}) {
    CHECK(bits() == expected);
  }
}

TEST_CASE("normal numbers have the distribution function of N(0, 1)") {
  lorma::SplitMix64 bits(1);
  constexpr int count = 20000;
  std::vector<double> numbers(count);
  for (double& x : numbers) x = lorma::normal(bits);
  std::sort(numbers.begin(), numbers.end());
  double distance = 0.0;  // Kolmogorov and Smirnov's
  for (int i = 0; i < count; ++i) {
    const double expected = 0.5 * std::erfc(-numbers[std::size_t(i)] / std::sqrt(2.0));
    distance = std::max({distance, std::abs(expected - double(i) / count),
                         std::abs(expected - double(i + 1) / count)});
  }
  CHECK(distance < 1.63 / std::sqrt(double(count)));  // exceeded by one in a hundred seeds
}

TEST_CASE("generators of few bits fill the interval and never leave it") {
  struct Bytes {
    static constexpr unsigned min() { return 3; }
    static constexpr unsigned max() { return 258; }
    unsigned operator()() { return top ? 258 : 3; }
    bool top;
  };
  Bytes zeros{false};
  Bytes ones{true};
  CHECK(lorma::uniform(zeros) == 0.0);
  CHECK(lorma::uniform(ones) == 1.0 - 0x1p-53);
  CHECK(std::isfinite(lorma::normal(zeros)));
  CHECK(std::isfinite(lorma::normal(ones)));
}
