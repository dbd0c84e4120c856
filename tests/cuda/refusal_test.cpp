// SPDX-License-Identifier: Apache-2.0
// What happens when the device refuses: only the stand-in can be told when to.

#include <doctest/doctest.h>

#include <lorma/cuda/launch.cuh>

#include "../support/random_matrices.hpp"
#include "on_device.hpp"
#include "stand_in/arena.hpp"

using namespace lorma;
using lorma_tests::random_matrix;

namespace {

template <typename I, typename O, typename W>
struct Case {
  using Inflation = I;
  using Order = O;
  using Weight = W;
};

/// Narrow, so that there are tails of panels and of batches.
CudaContext narrow_context() {
  return CudaContext::create({.workspace_bytes = 256, .panel_columns = 4, .spectral_bytes = 300});
}

/// Runs `work` after `refuse` was set to 0, 1, 2, ... until nothing is refused any more; calls
/// `after` behind each refusal. How many there were.
template <typename Start, typename F, typename Check>
int refuse_in_turn(long stand_in::Limits::*refuse, Start&& start, F&& work, Check&& after) {
  for (int granted = 0;; ++granted) {
    REQUIRE(granted < 200);
    auto state = start();
    stand_in::limits().*refuse = granted;
    bool refused = false;
    try {
      work(state);
    } catch (const BackendError&) {
      refused = true;
    }
    stand_in::limits() = {};
    if (!refused) return granted;
    after(state);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("merge_in_place writes everything or nothing", C,
                   Case<Identity, ActivationFirst<Factored>, float>,
                   Case<Identity, ActivationFirst<Dense>, Eigen::half>,
                   Case<CyclicPermutation, ActivationFirst<Dense>, float>,
                   Case<CyclicPermutation, ActivationFirst<Spectral>, float>,
                   Case<CyclicPermutation, ActivationFirst<Spectral>, Eigen::half>) {
  using W = typename C::Weight;
  const auto check = [](auto side) {
    using Side = decltype(side);
    using A = Adapter<float, typename C::Inflation, typename C::Order, Side, CuBlas>;
    const Index d = 7, k = 10;
    const Matrix<W> before = random_matrix<double>(d, k, 3).template cast<W>();
    struct State {
      CudaContext context;
      A adapter;
      DeviceMatrix<W> weight;
    };
    const auto start = [&] {
      const auto context = narrow_context();
      const Index n = Side::dim(d, k);
      State state{context, A(context, n, 2, 2.0F), to_device(context, before)};
      state.adapter.set_factors(random_matrix<float>(n, 2, 1), random_matrix<float>(2, n, 2));
      return state;
    };
    const auto merge = [](State& state) { state.adapter.merge_in_place(state.weight); };
    const auto untouched = [&](State& state) { CHECK(to_host(state.weight) == before); };
    const int allocations = refuse_in_turn(&stand_in::Limits::allocations, start, merge, untouched);
    const int plans = refuse_in_turn(&stand_in::Limits::plans, start, merge, untouched);
    CHECK(allocations >= 1);
    constexpr bool spectral = std::is_same_v<typename C::Order, ActivationFirst<Spectral>>;
    CHECK(plans >= (spectral ? 3 : 0));
  };
  check(Pre{});
  check(Post{});
}

TEST_CASE("a refused gradient leaves dX, dA and dB as they were") {
  using A = Adapter<float, CyclicPermutation, ActivationFirst<Spectral>, Pre, CuBlas>;
  const Index n = 7, k = 5, b = 6;
  struct State {
    CudaContext context;
    A adapter;
    DeviceMatrix<float> W0, X, H, dX, dA, dB;
    A::Tape tape;
  };
  const auto start = [&] {
    const auto context = narrow_context();
    const auto upload = [&](Index rows, Index cols, unsigned seed) {
      return to_device(context, random_matrix<float>(rows, cols, seed));
    };
    const auto sevens = [&](Index rows, Index cols) {
      return to_device(context, Matrix<float>::Constant(rows, cols, 7));
    };
    State state{context,         A(context, n, 2, 2.0F), upload(n, k, 1),
                upload(k, b, 2), sevens(n, b),           sevens(k, b),
                sevens(2, n),    sevens(n, 2),           A::Tape(context)};
    state.adapter.set_factors(random_matrix<float>(n, 2, 3), random_matrix<float>(2, n, 4));
    state.adapter.forward_into(state.H, state.W0, state.X, state.tape);
    return state;
  };
  const auto untouched = [](State& state) {
    for (const auto* m : {&state.dX, &state.dA, &state.dB}) {
      CHECK((to_host(*m).array() == 7.0F).all());
    }
  };
  for (const bool added : {false, accumulate}) {
    const auto backward = [added](State& state) {
      state.adapter.backward_into(state.dX, state.dA, state.dB, state.W0, state.H, state.tape,
                                  added);
    };
    CHECK(refuse_in_turn(&stand_in::Limits::plans, start, backward, untouched) >= 2);
    CHECK(refuse_in_turn(&stand_in::Limits::allocations, start, backward, untouched) >= 1);
  }
}

TEST_CASE("a plan that could not be made says which call failed and leaves none behind") {
  const auto context = lorma_tests::make_context();
  const long before = stand_in::counters().plans;
  stand_in::limits().plans = 0;
  CHECK_THROWS_WITH_AS(context.plan(CUFFT_R2C, 8, 2),
                       "lorma::CuBlas: cufftMakePlanMany64 failed: out of memory (2)",
                       BackendError);
  stand_in::limits() = {};
  CHECK(stand_in::counters().plans == before);
  CHECK_NOTHROW(context.plan(CUFFT_R2C, 8, 2));
}

TEST_CASE("the number of plans is bounded, the oldest goes first") {
  const long before = stand_in::counters().plans;
  {
    const auto context = lorma_tests::make_context();
    const auto kept = context.plan(CUFFT_R2C, 8, 1).handle;
    for (Index b = 2; b < 200; ++b) {
      context.plan(CUFFT_R2C, 8, b);
      CHECK(context.plan(CUFFT_R2C, 8, 1).handle == kept);  // used all the time
    }
    CHECK(stand_in::counters().plans - before == long(detail::CufftPlans::capacity));
  }
  CHECK(stand_in::counters().plans == before);
}

TEST_CASE("a copy that fails gives its memory back") {
  const auto context = lorma_tests::make_context();
  const auto W0 = to_device(context, random_matrix<float>(4, 4, 1));
  const long before = stand_in::counters().live;
  REQUIRE(cudaSetDevice(1) == cudaSuccess);
  CHECK_THROWS_AS(DeviceMatrix<float>{W0}, BackendError);
  REQUIRE(cudaSetDevice(0) == cudaSuccess);
  stand_in::limits().allocations = 0;
  CHECK_THROWS_AS(DeviceMatrix<float>{W0}, BackendError);
  stand_in::limits() = {};
  CHECK(stand_in::counters().live == before);
}

TEST_CASE("another device than the context's is named, nothing is queued there") {
  const long live = stand_in::counters().live;
  {
    const auto context = lorma_tests::make_context();
    CHECK(context.device() == 0);
    Adapter<float, CyclicPermutation, Auto, Pre, CuBlas> adapter(context, 4, 2, 1.0F);
    auto W0 = to_device(context, random_matrix<float>(4, 3, 1));
    const auto X = to_device(context, random_matrix<float>(3, 2, 2));
    const Matrix<float> before = to_host(W0);
    REQUIRE(cudaSetDevice(1) == cudaSuccess);
    const auto refused = [](auto&& call) {
      try {
        call();
      } catch (const BackendError& error) {
        const std::string_view text = error.what();
        return text.find("expected device 0") != text.npos &&
               text.find("got device 1") != text.npos;
      }
      return false;
    };
    CHECK(refused([&] { adapter.forward(W0, X); }));
    CHECK(refused([&] { adapter.merge_in_place(W0); }));
    CHECK(refused([&] { adapter.inflated(); }));
    CHECK(refused([&] { to_host(W0); }));
    CHECK(refused([&] { to_device(context, before); }));
    CHECK(refused([&] { context.synchronize(); }));
    const auto second = lorma_tests::make_context();
    CHECK(second.device() == 1);
    CHECK(refused([&] { adapter.to<EigenCpu>(); }));
    REQUIRE(cudaSetDevice(0) == cudaSuccess);
    CHECK(to_host(W0) == before);
    CHECK_NOTHROW(adapter.forward(W0, X));
    REQUIRE(cudaSetDevice(1) == cudaSuccess);  // destructors restore what is current
  }
  int current = -1;
  REQUIRE(cudaGetDevice(&current) == cudaSuccess);
  CHECK(current == 1);
  REQUIRE(cudaSetDevice(0) == cudaSuccess);
  CHECK(stand_in::counters().live == live);
}

TEST_CASE("every index of a box belongs to one thread, within the limits of a launch") {
  using lorma_cuda_kernels::Box;
  for (const Box& box : {Box{1, 1, 1}, Box{5, 7, 3}, Box{300, 2, 1}, Box{1, 70000, 1},
                         Box{2, 3, 66000}, Box{8, 4096, 1}, Box{4096, 8, 2}}) {
    const auto shape = lorma_cuda_kernels::launch_shape(box);
    CHECK(shape.block.size() <= 256);
    CHECK(shape.block.z == 1);
    CHECK(shape.grid.y <= 65535);
    CHECK(shape.grid.z <= 65535);
    std::vector<int> visits(static_cast<std::size_t>(box.size()));
    lorma_cuda_kernels::run(nullptr, box, [&](Index i, Index j, Index k) {
      ++visits[static_cast<std::size_t>(i + box.x * (j + box.y * k))];
    });
    CHECK(std::all_of(visits.begin(), visits.end(), [](int count) { return count == 1; }));
  }
}
