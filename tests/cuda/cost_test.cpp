// SPDX-License-Identifier: Apache-2.0
// What Auto takes on a GPU, and what it counts.

#include <doctest/doctest.h>

#include <lorma/cublas.hpp>

using namespace lorma;

namespace {

template <typename S, typename Inflation>
std::vector<RouteEstimate> routes(Index n, Index tokens, Task task, Index r = 8) {
  return Adapter<S, Inflation, Auto, Pre, CuBlas>::explain({.d = n, .k = n, .b = tokens, .r = r},
                                                           task);
}
template <typename S, typename Inflation>
std::string taken(Index n, Index tokens, Task task, Index r = 8) {
  for (const RouteEstimate& line : routes<S, Inflation>(n, tokens, task, r)) {
    if (line.chosen) return line.name;
  }
  return "none";
}

template <typename S, typename Inflation, typename Evaluation, typename Backend = CuBlas>
Work work(Action action, Index n, Index r, Index b) {
  return Operator<Evaluation, Inflation, Backend, S>::work(
      action, static_cast<double>(n), static_cast<double>(r), static_cast<double>(b));
}

/// What one real transform of length n counts: rank 1 and one column take three.
double one_transform(Index n) {
  return work<float, CyclicPermutation, Spectral>(Action::apply, n, 1, 1).transform / 3;
}

}  // namespace

TEST_CASE("flops are those of a CPU, what passes through memory is not") {
  const auto check = [](auto evaluation, Action action) {
    using E = decltype(evaluation);
    const Work device = work<float, Identity, E>(action, 64, 2, 5);
    const Work host = work<float, Identity, E, EigenCpu>(action, 64, 2, 5);
    CHECK(device.product == host.product);
    CHECK(device.thin == host.thin);
    CHECK(device.bytes > host.bytes);
    CHECK(device.starts == host.starts);
  };
  for (const Action action : {Action::apply, Action::vjp}) {
    check(Factored{}, action);
    check(Dense{}, action);
  }
  // A Y reads Y, the update reads and writes it; G is read for B^T G and dB, Y for dA, and dY is G
  // copied and updated.
  const double column = 64 * 5 * 4, square = 64 * 64 * 4;
  CHECK(work<float, Identity, Factored>(Action::apply, 64, 2, 5).bytes == 3 * column);
  CHECK(work<float, Identity, Factored>(Action::vjp, 64, 2, 5).bytes == 7 * column);
  CHECK(work<float, Identity, Dense>(Action::apply, 64, 2, 5).bytes == 4 * square + 2 * column);
  CHECK(work<float, Identity, Dense>(Action::vjp, 64, 2, 5).bytes == 10 * square + 4 * column);
  CHECK(work<float, Identity, Factored>(Action::apply, 64, 2, 5).thin == 4.0 * 64 * 2 * 5);
  CHECK(work<float, Identity, Factored>(Action::vjp, 64, 2, 5).starts == 5);
  CHECK(work<float, Identity, Dense>(Action::vjp, 64, 2, 5).product == 4.0 * 64 * 64 * 5);
  CHECK(work<float, Identity, Dense>(Action::vjp, 64, 2, 5).starts == 7);
}

TEST_CASE("Spectral counts the lengths and the traffic of cuFFT") {
  const auto apply = [](auto zero, Index r, Index b) {
    return work<decltype(zero), CyclicPermutation, Spectral>(Action::apply, 64, r, b);
  };
  CHECK(one_transform(4096) == 2.5 * 4096 * 12);
  CHECK(one_transform(1) == 2.5);
  // 1000 = 2^3 5^3 is a length of its own, 1009 is prime: two complex ones of 2048.
  CHECK(one_transform(1000) < one_transform(1024));
  CHECK(one_transform(1009) == 2 * 5.0 * 2048 * 11);
  // An odd column is no pair.
  CHECK(apply(float{}, 2, 3).transform == (3 * 3 + 2) * one_transform(64));
  // Between the transforms numbers are float, in 16 bits too.
  CHECK(apply(Eigen::half{}, 8, 100).bytes > 4 * 8 * 64 * 100 * 4);
  CHECK(apply(double{}, 8, 100).bytes == 2 * apply(float{}, 8, 100).bytes);
  const Work vjp = work<float, CyclicPermutation, Spectral>(Action::vjp, 64, 8, 100);
  CHECK(vjp.bytes > 2 * apply(float{}, 8, 100).bytes);
  CHECK(vjp.transform == 2 * apply(float{}, 8, 100).transform);
  CHECK(vjp.starts == 18);
}

TEST_CASE("Auto on a GPU: no n x n matrix for few tokens, tensor cores for many in 16 bits") {
  for (const Index n : {1024, 4096}) {
    CAPTURE(n);
    for (const Task task : {Task::Forward, Task::Training}) {
      CHECK(taken<float, Identity>(n, 1, task) == "ActivationFirst<Factored>");
      CHECK(taken<Eigen::bfloat16, Identity>(n, n / 4, task) == "ActivationFirst<Factored>");
      CHECK(taken<Eigen::bfloat16, Identity>(n, 4096, task).find("Factored") != std::string::npos);
    }
    for (const Index tokens : {4096, 16384}) {  // on activations, or on the smaller weight
      CHECK(taken<Eigen::bfloat16, CyclicPermutation>(n, tokens, Task::Training).find("Dense") !=
            std::string::npos);
    }
  }
  CHECK(taken<float, CyclicPermutation>(4096, 1, Task::Forward) == "ActivationFirst<Spectral>");
  CHECK(taken<double, CyclicPermutation>(8192, 64, Task::Training) == "ActivationFirst<Spectral>");
  // Rank 1 in float at a large width: one transform each way against n^2 products.
  CHECK(taken<float, CyclicPermutation>(8192, 4096, Task::Training, 1) ==
        "ActivationFirst<Spectral>");
}
