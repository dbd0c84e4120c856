// SPDX-License-Identifier: Apache-2.0
// What Auto takes on a GPU, and what it counts.

#include <doctest/doctest.h>

#include <lorma/backend/cublas.hpp>
#include <lorma/lorma.hpp>

using namespace lorma;

namespace {

template <typename S, typename Inflation>
std::vector<RouteEstimate> routes(Index n, Index tokens, Task task, Index r = 8) {
  return explain<Auto, Inflation, Pre, S, CuBlas>({.d = n, .k = n, .b = tokens, .r = r}, task);
}
template <typename S, typename Inflation>
std::string taken(Index n, Index tokens, Task task, Index r = 8) {
  for (const RouteEstimate& line : routes<S, Inflation>(n, tokens, task, r)) {
    if (line.chosen) return line.name;
  }
  return "none";
}

struct MyEvaluation {};
/// An evaluation of a third party, known to the cost model alone.
struct OneOfMine : CuBlas {
  template <typename Evaluation>
  struct EvaluationWork;
};

}  // namespace

template <>
struct lorma::EvaluationWork<MyEvaluation> {};
template <>
struct OneOfMine::EvaluationWork<Dense> {};

TEST_CASE("a backend's own count comes first, the general one fills in") {
  CHECK(std::is_same_v<detail::WorkOf<EigenCpu, Dense>::type, EvaluationWork<Dense>>);
  CHECK(std::is_same_v<detail::WorkOf<CuBlas, Dense>::type, detail::CublasWork<Dense>>);
  CHECK(std::is_same_v<detail::WorkOf<CuBlas, MyEvaluation>::type, EvaluationWork<MyEvaluation>>);
  CHECK(std::is_same_v<detail::WorkOf<OneOfMine, Dense>::type, OneOfMine::EvaluationWork<Dense>>);
  CHECK(std::is_same_v<detail::WorkOf<OneOfMine, Spectral>::type, EvaluationWork<Spectral>>);
}

TEST_CASE("Spectral counts the lengths and the traffic of cuFFT") {
  using W = detail::CublasWork<Spectral>;
  CHECK(W::one_transform(4096) == 2.5 * 4096 * 12);
  CHECK(W::one_transform(1) == 2.5);
  // 1000 = 2^3 5^3 is a length of its own, 1009 is prime: two complex ones of 2048.
  CHECK(W::one_transform(1000) < W::one_transform(1024));
  CHECK(W::one_transform(1009) == 2 * 5.0 * 2048 * 11);
  // An odd column is no pair.
  CHECK(W::apply(64, 2, 3, 4).transform == (3 * 3 + 2) * W::one_transform(64));
  // Between the transforms numbers are float, in 16 bits too.
  CHECK(W::apply(64, 8, 100, 2).bytes > 4 * 8 * 64 * 100 * 4);
  CHECK(W::apply(64, 8, 100, 8).bytes == 2 * W::apply(64, 8, 100, 4).bytes);
  CHECK(W::vjp(64, 8, 100, 4).bytes > 2 * W::apply(64, 8, 100, 4).bytes);
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
