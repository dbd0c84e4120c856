// SPDX-License-Identifier: Apache-2.0
// CUDA graphs: warm calls are captured and do the same when they are launched.

#include <doctest/doctest.h>

#include <optional>

#include "../support/random_matrices.hpp"
#include "on_device.hpp"

using namespace lorma;
using lorma_tests::distance;
using lorma_tests::norm;
using lorma_tests::random_matrix;

namespace {

/// What `work` queues, as a graph to launch; nothing of it has run.
class Captured {
 public:
  template <typename F>
  Captured(const CudaContext& context, F&& work) : context_(context) {
    REQUIRE(cudaStreamBeginCapture(context.stream(), cudaStreamCaptureModeThreadLocal) ==
            cudaSuccess);
    CHECK_NOTHROW(work());
    cudaGraph_t graph = nullptr;
    REQUIRE(cudaStreamEndCapture(context.stream(), &graph) == cudaSuccess);
    REQUIRE(cudaGraphInstantiate(&exec_, graph, 0) == cudaSuccess);
    REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
  }
  Captured(const Captured&) = delete;
  Captured& operator=(const Captured&) = delete;
  ~Captured() { (void)cudaGraphExecDestroy(exec_); }
  void launch() const {
    CHECK(cudaGraphLaunch(exec_, context_.stream()) == cudaSuccess);
    context_.synchronize();
  }

 private:
  CudaContext context_;
  cudaGraphExec_t exec_ = nullptr;
};

template <typename S, typename I, typename O>
struct Case {
  using Scalar = S;
  using Inflation = I;
  using Order = O;
};

}  // namespace

TEST_CASE_TEMPLATE("forward, backward and merge are captured and replayed", C,
                   Case<float, Identity, Auto>, Case<Eigen::bfloat16, Identity, Auto>,
                   Case<float, CyclicPermutation, ActivationFirst<Spectral>>,
                   Case<Eigen::half, CyclicPermutation, ActivationFirst<Dense>>) {
  using S = typename C::Scalar;
  const Index d = 8, k = 6, b = 4;
  const auto context = lorma_tests::make_context();
  Adapter<S, typename C::Inflation, typename C::Order, Pre, CuBlas> adapter(context, d, 2, 2.0F);
  const auto factors_of = [&](unsigned seed) {
    adapter.set_factors(random_matrix<double>(d, 2, seed).template cast<S>(),
                        random_matrix<double>(2, d, seed + 1).template cast<S>());
  };
  const auto input = [&](Index rows, Index cols, unsigned seed) {
    return to_device(context, random_matrix<double>(rows, cols, seed).template cast<S>());
  };
  const auto W0 = input(d, k, 1), dH = input(d, b, 3);
  auto X = input(k, b, 2);
  DeviceMatrix<S> H(context, d, b), W(context, d, k);
  Gradients<S, CuBlas> g;
  typename decltype(adapter)::Tape tape(context), cold(context);
  const auto step = [&](auto& with) {
    adapter.forward_into(H, W0, X, with);
    adapter.backward_into(g, W0, dH, with);
    adapter.merge_into(W, W0, with.workspace());
  };
  const auto results = [&] {
    return std::vector{to_host(H), to_host(W), to_host(g.dX), to_host(g.dA), to_host(g.dB)};
  };
  factors_of(10);
  step(tape);
  step(tape);
  DeviceWorkspace scratch(context);
  CuBlas::fill(scratch, 7, H.view());
  const Captured graph(context, [&] {
    step(tape);
    CHECK_THROWS_AS(step(cold), BackendError);
    CHECK_THROWS_AS(to_host(H), BackendError);
    CHECK_THROWS_AS(factors_of(30), BackendError);
  });
  CHECK(to_host(H) == Matrix<S>::Constant(d, b, S(7)));  // captured is not run

  // New numbers in the places that the graph reads.
  factors_of(20);
  const Matrix<S> next = random_matrix<double>(k, b, 40).template cast<S>();
  detail::upload(context, next, X);
  graph.launch();
  const auto replayed = results();
  step(tape);
  CHECK(replayed == results());
  graph.launch();
  CHECK(replayed == results());
}

TEST_CASE_TEMPLATE("a mixed batch is captured and replayed", S, float, Eigen::bfloat16) {
  const auto context = lorma_tests::make_context();
  Adapter<S, Identity, Auto, Pre, CuBlas> one(context, 8, 2, 2.0F), two(context, 8, 3, 3.0F);
  one.set_factors(random_matrix<double>(8, 2, 1).template cast<S>(),
                  random_matrix<double>(2, 8, 2).template cast<S>());
  two.set_factors(random_matrix<double>(8, 3, 3).template cast<S>(),
                  random_matrix<double>(3, 8, 4).template cast<S>());
  const auto W0 = to_device(context, random_matrix<double>(8, 8, 5).template cast<S>());
  const auto X = to_device(context, random_matrix<double>(8, 8, 6).template cast<S>());
  DeviceMatrix<S> H(context, 8, 8);
  DeviceWorkspace workspace(context);
  using View = AdapterView<S, Identity, Auto, Pre, CuBlas>;
  const std::vector<AdapterSlice<View>> slices{{one, 0, 4}, {two, 4, 4}};
  const auto step = [&] { forward_mixed_into(H, W0, X, slices, workspace); };
  step();
  step();
  const Matrix<S> expected = to_host(H);
  CuBlas::fill(workspace, 0, H.view());
  const Captured graph(context, step);
  CHECK(to_host(H) == Matrix<S>::Zero(8, 8));
  graph.launch();
  // One product each instead of a grouped one: the same sums, perhaps in another order.
  const double eps = std::is_same_v<S, float> ? 0x1p-20 : 0x1p-7;
  CHECK(distance(to_host(H), expected) <= eps * norm(expected));
}

TEST_CASE("memory given back during a capture is freed after it") {
  const auto context = lorma_tests::make_context();
  DeviceMatrix<float> H(context, 4, 4);
  DeviceWorkspace workspace(context);
  std::optional<DeviceMatrix<float>> gone(std::in_place, context, 3, 3);
  const Captured graph(context, [&] {
    gone.reset();
    CuBlas::fill(workspace, 5, H.view());
  });
  graph.launch();
  CHECK(to_host(H) == Matrix<float>::Constant(4, 4, 5));
}

TEST_CASE("plans that a graph uses outlive the bound of the cache") {
  const auto context = lorma_tests::make_context();
  Adapter<float, CyclicPermutation, ActivationFirst<Spectral>, Pre, CuBlas> adapter(context, 5, 1,
                                                                                    1.0F);
  adapter.set_factors(random_matrix<float>(5, 1, 1), random_matrix<float>(1, 5, 2));
  const auto W0 = to_device(context, random_matrix<float>(5, 4, 3));
  const auto X = to_device(context, random_matrix<float>(4, 2, 4));
  DeviceMatrix<float> H(context, 5, 2);
  DeviceWorkspace workspace(context);
  const auto step = [&] { adapter.forward_into(H, W0, X, workspace); };
  step();
  step();
  const Matrix<float> expected = to_host(H);
  CuBlas::fill(workspace, 0, H.view());
  const Captured graph(context, step);
  for (Index b = 3; b < 90; ++b) context.plan(CUFFT_R2C, 5, b);
  graph.launch();
  CHECK(to_host(H) == expected);
}
