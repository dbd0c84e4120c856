// SPDX-License-Identifier: Apache-2.0
// What the laws do not ask: precisions, mixed batches, moving between backends, captures, errors.

#include <doctest/doctest.h>

#include <lorma/adapter/by_name.hpp>

#include "../support/golden.hpp"
#include "../support/random_matrices.hpp"
#include "on_device.hpp"

using namespace lorma;
using lorma_tests::distance;
using lorma_tests::norm;
using lorma_tests::random_matrix;
using lorma_tests::test_context;
using lorma_tests::Uploaded;

namespace {

/// An adapter with random factors on the CPU, in double on numbers that S holds exactly.
template <typename S, typename Inflation, typename Side = Pre>
Adapter<double, Inflation, Auto, Side> rounded_adapter(Index n, Index r) {
  Adapter<double, Inflation, Auto, Side> adapter(n, r, 2.0);
  adapter.B() = random_matrix<double>(n, r, 1).template cast<S>().template cast<double>();
  adapter.A() = random_matrix<double>(r, n, 2).template cast<S>().template cast<double>();
  return adapter;
}

}  // namespace

TEST_CASE_TEMPLATE("half and bfloat16 are rounded after sums in float", S, Eigen::half,
                   Eigen::bfloat16) {
  const Index d = 24, k = 16, r = 3, b = 7;
  const double eps = std::is_same_v<S, Eigen::half> ? 0x1p-10 : 0x1p-7;
  const auto check = [&](auto inflation) {
    using Inflation = decltype(inflation);
    const auto exact = rounded_adapter<S, Inflation>(d, r);
    const Matrix<S> W0 = random_matrix<double>(d, k, 3).template cast<S>();
    const Matrix<S> X = random_matrix<double>(k, b, 4).template cast<S>();
    const Matrix<S> G = random_matrix<double>(d, b, 5).template cast<S>();
    const Matrix<double> W = W0.template cast<double>();
    Tape<double> tape;
    const Matrix<double> H = exact.forward(W, X.template cast<double>(), tape);
    const auto g = exact.backward(W, G.template cast<double>(), tape);

    Adapter<S, Inflation, Auto, Pre, CuBlas> adapter(test_context(), d, r, 2.0F);
    adapter.set_factors(exact.B().template cast<S>(), exact.A().template cast<S>());
    typename decltype(adapter)::Tape device_tape(test_context());
    Uploaded<S> w(W0), x(X), dh(G);
    const auto h = adapter.forward(w.view(), x.view(), device_tape);
    const auto dg = adapter.backward(w.view(), dh.view(), device_tape);
    // Three roundings to S along each path: W0 X, A Y and the result.
    const double size = 1.0 + exact.scale() * norm(exact.B()) * norm(exact.A());
    const double bound = 3.0 * eps * size * norm(W);
    CHECK(distance(to_host(h), H) <= bound * norm(X));
    CHECK(distance(to_host(dg.dX), g.dX) <= bound * norm(G));
    CHECK(distance(to_host(dg.dA), g.dA) <= bound * norm(G) * norm(X) * norm(exact.B()));
    CHECK(distance(to_host(dg.dB), g.dB) <= bound * norm(G) * norm(X) * norm(exact.A()));
    const auto merged = adapter.merge(w.view());
    CHECK(distance(to_host(merged), exact.merge(W)) <= bound);
  };
  check(Identity{});
  check(None{});
  check(CyclicPermutation{});
}

TEST_CASE_TEMPLATE("a weight of half or bfloat16 meets an adapter of float", S, Eigen::half,
                   Eigen::bfloat16) {
  const Index d = 12, k = 20, r = 2, b = 5;
  const auto cpu = rounded_adapter<float, Identity>(d, r);
  Adapter<float> host(d, r, 2.0F);
  host.B() = cpu.B().cast<float>();
  host.A() = cpu.A().cast<float>();
  const auto adapter = host.to<CuBlas>(test_context());
  const Matrix<S> W0 = random_matrix<double>(d, k, 3).template cast<S>();
  const Matrix<float> X = random_matrix<float>(k, b, 4);
  Uploaded<S> w(W0);
  Uploaded<float> x(X);
  const double bound =
      64.0 * lorma_tests::eps<float> * norm(W0) * norm(X) * (1.0 + norm(cpu.B()) * norm(cpu.A()));
  CHECK(distance(to_host(adapter.forward(w.view(), x.view())), host.forward(W0, X)) <= bound);
  // One rounding of nearly the same number: neighbours at most.
  const double eps = std::is_same_v<S, Eigen::half> ? 0x1p-10 : 0x1p-7;
  CHECK(distance(to_host(adapter.merge(w.view())), host.merge(W0)) <= eps * norm(host.merge(W0)));
}

TEST_CASE("golden data of the published layer") {
  const auto cases = lorma_tests::read_golden(LORMA_TEST_DATA_DIR "/golden");
  REQUIRE(cases.size() >= 3);
  for (const auto& c : cases) {
    CAPTURE(c.file);
    const auto check = [&](auto type) {
      using Host = typename decltype(type)::type;
      const Index n = c.side == "pre" ? c.W0.rows() : c.W0.cols();
      Host host(n, c.rank, c.alpha);
      host.A() = c.A;
      host.B() = c.B;
      const auto adapter = host.template to<CuBlas>(test_context());
      typename decltype(adapter)::Tape tape(test_context());
      Uploaded<double> W0(c.W0), X(c.x.transpose().eval()), G(c.g.transpose().eval());
      const Matrix<double> H = to_host(adapter.forward(W0.view(), X.view(), tape));
      const auto g = adapter.backward(W0.view(), G.view(), tape);
      const Matrix<double> expected = c.h.transpose().colwise() - c.bias;
      CHECK(distance(H, expected) <= 1e-12 * norm(expected));
      CHECK(distance(to_host(g.dX), c.dx.transpose()) <= 1e-12 * norm(c.dx));
      CHECK(distance(to_host(g.dA), c.dA) <= 1e-12 * norm(c.dA));
      CHECK(distance(to_host(g.dB), c.dB) <= 1e-12 * norm(c.dB));
      CHECK(distance(to_host(adapter.merge(W0.view())), c.merged) <= 1e-12 * norm(c.merged));
    };
    visit_adapter<double>({.inflation = c.inflation == "identity" ? Identity::name
                                        : c.inflation == "none"   ? None::name
                                                                  : CyclicPermutation::name,
                           .side = c.side == "pre" ? Pre::name : Post::name},
                          check);
  }
}

TEST_CASE("an adapter moves to the device and back unchanged") {
  Adapter<float, CyclicPermutation> host(9, 2, 3.0F);
  std::mt19937_64 urbg(1);
  host.initialize(urbg);
  const auto device = host.to<CuBlas>(test_context());
  const auto again = device.to<CuBlas>(test_context()).to<EigenCpu>();
  CHECK(again.A() == host.A());
  CHECK(again.B() == host.B());
  CHECK(again.alpha() == host.alpha());
}

TEST_CASE_TEMPLATE("a mixed batch is each adapter on its own columns", Inflation, Identity, None,
                   CyclicPermutation) {
  const Index d = 10, k = 6, b = 11;
  const auto check = [&](auto side) {
    using Side = decltype(side);
    const Index n = Side::dim(d, k);
    using Host = Adapter<double, Inflation, Auto, Side>;
    std::vector<Host> hosts{Host(n, 2, 1.0), Host(n, 3, 5.0), Host(n, 1, 2.0)};
    std::vector<Adapter<double, Inflation, Auto, Side, CuBlas>> devices;
    unsigned seed = 10;
    for (Host& host : hosts) {
      host.B() = random_matrix<double>(n, host.rank(), seed++);
      host.A() = random_matrix<double>(host.rank(), n, seed++);
      devices.push_back(host.template to<CuBlas>(test_context()));
    }
    const std::vector<std::pair<Index, Index>> ranges{{0, 4}, {4, 0}, {6, 5}};
    const Matrix<double> W0 = random_matrix<double>(d, k, 1);
    const Matrix<double> X = random_matrix<double>(k, b, 2);
    std::vector<AdapterSlice<double>> on_host, on_device;
    Matrix<double> expected = W0 * X;
    for (std::size_t i = 0; i < hosts.size(); ++i) {
      const auto [first, count] = ranges[i];
      on_host.push_back({hosts[i].factors(), first, count});
      on_device.push_back({devices[i].factors(), first, count});
      expected.middleCols(first, count) = hosts[i].forward(W0, X.middleCols(first, count));
    }
    const double bound = 1e-13 * norm(expected);
    Workspace workspace;
    Matrix<double> H(d, b);
    forward_mixed_into<Inflation, Side>(H, W0, X, on_host, workspace);
    CHECK(distance(H, expected) <= bound);
    Uploaded<double> w(W0), x(X), h(H);
    DeviceWorkspace scratch(test_context());
    CuBlas::fill(scratch, 0, h.view().view());
    forward_mixed_into<Inflation, Side, CuBlas>(h.view(), w.view(), x.view(), on_device, scratch);
    CHECK(distance(h.host(), expected) <= bound);

    const Matrix<double> before = H;
    on_host[2].first = 3;  // overlaps the first slice
    CHECK_THROWS_AS((forward_mixed_into<Inflation, Side>(H, W0, X, on_host, workspace)),
                    ShapeError);
    on_host[2].first = 7;  // runs over the end
    CHECK_THROWS_AS((forward_mixed_into<Inflation, Side>(H, W0, X, on_host, workspace)),
                    ShapeError);
    CHECK(H == before);
  };
  check(Pre{});
  check(Post{});
}

TEST_CASE("NaN and infinity are found on the device, in every type") {
  const auto check = [](auto zero) {
    using S = decltype(zero);
    Adapter<float> host(4, 1, 1.0F);
    const auto adapter = host.to<CuBlas>(test_context());
    Matrix<S> W = Matrix<S>::Constant(4, 3, S(1.0F));
    Uploaded<S> good(W);
    CHECK_NOTHROW(adapter.merge_in_place(good.view(), check_finite));
    W(2, 1) = S(std::numeric_limits<float>::infinity());
    Uploaded<S> bad(W);
    CHECK_THROWS_AS(adapter.merge_in_place(bad.view(), check_finite), NonFinite);
    CHECK(bad.host()(0, 0) == S(1.0F));
  };
  check(float{});
  check(Eigen::half{});
  check(Eigen::bfloat16{});
}

TEST_CASE("wrong shapes and matrices without memory are refused") {
  Adapter<float, Identity, Auto, Pre, CuBlas> adapter(test_context(), 4, 2, 1.0F);
  auto W0 = to_device(test_context(), Matrix<float>::Zero(5, 3));
  auto X = to_device(test_context(), Matrix<float>::Zero(3, 2));
  CHECK_THROWS_AS(adapter.forward(W0, X), ShapeError);
  CHECK_THROWS_AS(adapter.merge(W0), ShapeError);
  CHECK_THROWS_AS(adapter.set_factors(Matrix<float>::Zero(4, 1), Matrix<float>::Zero(2, 4)),
                  ShapeError);
  CHECK_THROWS_AS(device_view(test_context(), W0.data(), 5, 3, StorageOrder::ColMajor, 4),
                  ShapeError);
  DeviceMatrix<float> nothing;
  CHECK_THROWS_AS(adapter.forward(nothing, nothing), BackendError);
}

TEST_CASE("empty batches") {
  Adapter<float, CyclicPermutation, Auto, Pre, CuBlas> adapter(test_context(), 4, 2, 1.0F);
  auto W0 = to_device(test_context(), Matrix<float>::Zero(4, 3));
  auto X = to_device(test_context(), Matrix<float>::Zero(3, 0));
  decltype(adapter)::Tape tape(test_context());
  const auto H = adapter.forward(W0, X, tape);
  CHECK(H.cols() == 0);
  const auto g = adapter.backward(W0, H, tape);
  CHECK(to_host(g.dA).isZero());
}

TEST_CASE_TEMPLATE("a warm call is captured, a cold one refuses", Inflation, Identity,
                   CyclicPermutation) {
  const Index d = 8, k = 8, b = 4;
  const auto context = lorma_tests::make_context();
  Adapter<float, Inflation> host(d, 2, 1.0F);
  std::mt19937_64 urbg(1);
  host.initialize(urbg);
  const auto adapter = host.template to<CuBlas>(context);
  const auto W0 = to_device(context, random_matrix<float>(d, k, 1));
  const auto X = to_device(context, random_matrix<float>(k, b, 2));
  const auto dH = to_device(context, random_matrix<float>(d, b, 3));
  DeviceMatrix<float> H(context, d, b);
  Gradients<float, CuBlas> g;
  typename std::remove_const_t<decltype(adapter)>::Tape tape(context), cold(context);
  const auto step = [&](auto& with) {
    adapter.forward_into(H, W0, X, with);
    adapter.backward_into(g, W0, dH, with);
  };
  step(tape);
  step(tape);
  const Matrix<float> expected = to_host(H);

  cudaGraph_t graph = nullptr;
  REQUIRE(cudaStreamBeginCapture(context.stream(), cudaStreamCaptureModeThreadLocal) ==
          cudaSuccess);
  CHECK_NOTHROW(step(tape));
  CHECK_THROWS_AS(step(cold), BackendError);
  REQUIRE(cudaStreamEndCapture(context.stream(), &graph) == cudaSuccess);
  CHECK(to_host(H) == expected);
}
