// SPDX-License-Identifier: Apache-2.0
// What only the stand-in can count.

#include <doctest/doctest.h>

#include "../support/random_matrices.hpp"
#include "on_device.hpp"
#include "stand_in/arena.hpp"

using namespace lorma;
using lorma_tests::random_matrix;

namespace {

using View = AdapterView<float, Identity, Auto, Pre, CuBlas>;

}  // namespace

TEST_CASE_TEMPLATE("a warm step allocates nothing and never waits", Inflation, Identity, None,
                   CyclicPermutation) {
  const auto context = lorma_tests::make_context();
  Adapter<float, Inflation> host(16, 2, 1.0F);
  std::mt19937_64 urbg(1);
  host.initialize(urbg);
  const auto adapter = host.template to<CuBlas>(context);
  const auto W0 = to_device(context, random_matrix<float>(16, 8, 1));
  const auto X = to_device(context, random_matrix<float>(8, 4, 2));
  DeviceMatrix<float> H(context, 16, 4), W(context, 16, 8);
  Gradients<float, CuBlas> g;
  typename std::remove_const_t<decltype(adapter)>::Tape tape(context);
  const auto step = [&] {
    adapter.forward_into(H, W0, X, tape);
    adapter.backward_into(g, W0, H, tape);
    adapter.merge_into(W, W0, tape.workspace());
  };
  step();
  step();
  const auto before = stand_in::counters();
  step();
  CHECK(stand_in::counters().allocations == before.allocations);
  CHECK(stand_in::counters().waits == before.waits);
}

TEST_CASE("one token is a matrix-vector product, LoRMA+ adds two") {
  Adapter<float> host(16, 2, 1.0F);
  const auto context = lorma_tests::make_context();
  const auto adapter = host.to<CuBlas>(context);
  const auto W0 = to_device(context, random_matrix<float>(16, 8, 1));
  const auto x = to_device(context, random_matrix<float>(8, 1, 2));
  const auto before = stand_in::counters().products;
  adapter.forward(W0, x);
  CHECK(stand_in::counters().products == before + 3);
}

TEST_CASE("a mixed batch of any number of adapters is two grouped calls") {
  const auto context = lorma_tests::make_context();
  Adapter<float> host(16, 2, 1.0F);
  const auto adapter = host.to<CuBlas>(context);
  const auto W0 = to_device(context, random_matrix<float>(16, 8, 1));
  const auto X = to_device(context, random_matrix<float>(8, 12, 2));
  DeviceMatrix<float> H(context, 16, 12);
  DeviceWorkspace workspace(context);
  std::vector<AdapterSlice<View>> slices;
  for (Index i = 0; i < 6; ++i) slices.push_back({adapter, 2 * i, 2});
  const auto before = stand_in::counters();
  forward_mixed_into(H, W0, X, slices, workspace);
  CHECK(stand_in::counters().grouped_products == before.grouped_products + 2);
  CHECK(stand_in::counters().products == before.products + 1);
}

TEST_CASE("a mixed batch of turned adapters is three calls of cuFFT, warm without an allocation") {
  using Turned = AdapterView<double, CyclicPermutation, Auto, Pre, CuBlas>;
  const Index n = 1260, k = 2;  // where Spectral is cheaper than an n x n matrix
  const auto context = lorma_tests::make_context();
  std::vector<Adapter<double, CyclicPermutation>> hosts;
  std::vector<Adapter<double, CyclicPermutation, Auto, Pre, CuBlas>> devices;
  const Matrix<double> W0 = random_matrix<double>(n, k, 1), X = random_matrix<double>(k, 9, 2);
  const auto w = to_device(context, W0), x = to_device(context, X);
  DeviceMatrix<double> H(context, n, 9);
  DeviceWorkspace workspace(context);
  for (Index i = 0; i < 4; ++i) {
    auto& host = hosts.emplace_back(n, 1 + i % 2, 1.0);
    host.B() = random_matrix<double>(n, host.rank(), static_cast<unsigned>(3 + i));
    host.A() = random_matrix<double>(host.rank(), n, static_cast<unsigned>(13 + i));
    devices.push_back(host.to<CuBlas>(context));
  }
  for (const Index count : {1, 4}) {
    std::vector<AdapterSlice<Turned>> slices;
    Matrix<double> expected = W0 * X;
    for (Index i = 0; i < count; ++i) {
      const auto at = static_cast<std::size_t>(i);
      slices.push_back({devices[at], 2 * i, 2});
      expected.middleCols(2 * i, 2) = hosts[at].forward(W0, X.middleCols(2 * i, 2));
    }
    const auto step = [&] { forward_mixed_into(H, w, x, slices, workspace); };
    step();
    step();
    const auto before = stand_in::counters();
    step();
    CHECK(stand_in::counters().transforms == before.transforms + 3);
    CHECK(stand_in::counters().allocations == before.allocations);
    CHECK(stand_in::counters().waits == before.waits);
    CHECK(lorma_tests::distance(to_host(H), expected) <= 1e-13 * lorma_tests::norm(expected));
  }
}

TEST_CASE("everything that was allocated is given back") {
  const long before = stand_in::counters().live;
  {
    const auto context = lorma_tests::make_context();
    const auto W0 = to_device(context, random_matrix<float>(8, 8, 1));
    const auto copy = W0;
    Adapter<float, CyclicPermutation, Auto, Pre, CuBlas> adapter(context, 8, 2, 1.0F);
    decltype(adapter)::Tape tape(context);
    adapter.backward(W0, adapter.forward(copy, W0, tape), tape);
  }
  CHECK(stand_in::counters().live == before);
}

TEST_CASE("pointers that a grouped product cannot take are multiplied one by one") {
  const auto grouped = [](const auto& context, auto zero, Index first) {
    using S = decltype(zero);
    Adapter<S, Identity, Auto, Pre, CuBlas> adapter(context, 16, 8, 1.0F);
    const auto W0 = to_device(context, random_matrix<double>(16, 8, 1).template cast<S>());
    const auto X = to_device(context, random_matrix<double>(8, 12, 2).template cast<S>());
    // Columns that are 16 numbers long, and one number after the start of the parent.
    DeviceMatrix<S> parent(context, 17 * 16, 1);
    const auto H = device_view(context, parent.data() + first, 16, 12);
    DeviceWorkspace workspace(context);
    using AView = AdapterView<S, Identity, Auto, Pre, CuBlas>;
    const std::vector<AdapterSlice<AView>> slices{{adapter, 0, 6}, {adapter, 6, 6}};
    const auto before = stand_in::counters().grouped_products;
    forward_mixed_into(H, W0, X, slices, workspace);
    return stand_in::counters().grouped_products - before;
  };
  const auto context = lorma_tests::make_context();
  const auto tf32 = CudaContext::create({.tf32 = Tf32::allowed});
  CHECK(grouped(context, Eigen::half{}, 0) == 2);
  CHECK(grouped(context, Eigen::half{}, 1) == 0);
  CHECK(grouped(context, Eigen::bfloat16{}, 1) == 0);
  CHECK(grouped(tf32, float{}, 0) == 2);
  CHECK(grouped(tf32, float{}, 1) == 0);
  CHECK(grouped(context, float{}, 1) == 2);
}

TEST_CASE("a mixed batch that is warm allocates nothing on the device and never waits") {
  const auto context = lorma_tests::make_context();
  Adapter<float, Identity, Auto, Pre, CuBlas> adapter(context, 16, 2, 1.0F);
  const auto W0 = to_device(context, random_matrix<float>(16, 8, 1));
  const auto X = to_device(context, random_matrix<float>(8, 300, 2));
  DeviceMatrix<float> H(context, 16, 300);
  DeviceWorkspace workspace(context);
  std::vector<AdapterSlice<View>> slices;  // more pointers than one kernel takes
  for (Index i = 0; i < 150; ++i) slices.push_back({adapter, 2 * i, 2});
  const auto step = [&] { forward_mixed_into(H, W0, X, slices, workspace); };
  step();
  step();
  const auto before = stand_in::counters();
  step();
  CHECK(stand_in::counters().allocations == before.allocations);
  CHECK(stand_in::counters().waits == before.waits);
  CHECK(stand_in::counters().host_copies == before.host_copies);
}

TEST_CASE("a device without memory says so") {
  const auto context = lorma_tests::make_context();
  CHECK_THROWS_AS(DeviceMatrix<double>(context, Index(1) << 20, Index(1) << 20), BackendError);
}
