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
  const Index huge = std::numeric_limits<Index>::max() / 3;
  CHECK_THROWS_AS(DeviceMatrix<float>(test_context(), huge, huge), ShapeError);
  CHECK_THROWS_AS(DeviceMatrix<float>(test_context(), huge, 1), ShapeError);
}

TEST_CASE("a refusal names what every operand was") {
  const auto one = lorma_tests::make_context();
  const auto two = lorma_tests::make_context();
  using A = Adapter<float, CyclicPermutation, ActivationFirst<Dense>, Pre, CuBlas>;
  const A adapter(one, 4, 2, 1.0F);
  const A elsewhere(two, 4, 2, 1.0F);
  const auto W0 = to_device(one, random_matrix<float>(4, 3, 1));
  const auto X = to_device(one, random_matrix<float>(3, 2, 2));
  const auto W0_two = to_device(two, random_matrix<float>(4, 3, 1));
  const auto X_two = to_device(two, random_matrix<float>(3, 2, 2));
  const auto says = [](std::string_view what, auto&& call) {
    try {
      call();
    } catch (const BackendError& error) {
      return std::string_view(error.what()).find(what) != std::string_view::npos;
    }
    return false;
  };
  const Matrix<float> zeros = Matrix<float>::Zero(4, 2);
  auto H = to_device(one, zeros);
  auto H_two = to_device(two, zeros);
  DeviceWorkspace workspace(one), workspace_two(two);
  A::Tape tape(one), tape_two(two);
  CHECK(says("got W0 of", [&] { adapter.forward(W0_two, X); }));
  CHECK(says("got W0 of", [&] { adapter.forward_into(H, W0_two, X, workspace); }));
  CHECK(says("got X of", [&] { adapter.forward_into(H, W0, X_two, workspace); }));
  CHECK(says("got H of", [&] { adapter.forward_into(H_two, W0, X, workspace); }));
  CHECK(says("factor B of", [&] { elsewhere.forward_into(H, W0, X, workspace); }));
  CHECK(says("factor B of", [&] { adapter.forward_into(H, W0, X, workspace_two); }));
  CHECK(says("factor B of", [&] { adapter.forward_into(H, W0, X, tape_two); }));
  CHECK(says("factor B of", [&] { elsewhere.merge(W0); }));
  auto W = W0;
  CHECK(says("factor B of", [&] { elsewhere.merge_in_place(W, workspace); }));
  CHECK(says("the weight of", [&] { elsewhere.merge_in_place(W); }));
  CHECK(says("the weight of", [&] { elsewhere.unmerge_in_place(W); }));
  CHECK(says("factor B of", [&] { elsewhere.apply(H); }));
  using View = AdapterView<float, CyclicPermutation, ActivationFirst<Dense>, Pre, CuBlas>;
  CHECK(says("got factor A of", [&] { View(adapter.B(), elsewhere.A(), 1.0F); }));
  const std::vector<AdapterSlice<View>> slices{{elsewhere, 0, 2}};
  CHECK(says("got factor B of", [&] { forward_mixed_into(H, W0, X, slices, workspace); }));
  CHECK(to_host(H) == zeros);
  CHECK(to_host(W) == to_host(W0));

  adapter.forward_into(H, W0, X, tape);
  Gradients<float, CuBlas> g;
  CHECK(says("got dH of", [&] { adapter.backward_into(g, W0, H_two, tape); }));
  CHECK(says("got W0 of", [&] { adapter.backward_into(g, W0_two, H, tape); }));
  CHECK(says("factor B of", [&] { elsewhere.backward_into(g, W0, H, tape); }));
  auto dX_two = to_device(two, Matrix<float>::Zero(3, 2));
  DeviceMatrix<float> dA(one, 2, 4), dB(one, 4, 2);
  CHECK(says("got dX of", [&] { adapter.backward_into(dX_two, dA, dB, W0, H, tape); }));
  CHECK(to_host(dX_two).isZero());
}

TEST_CASE("somebody else's error is not lorma's, and lorma's is nobody else's") {
  const auto context = lorma_tests::make_context();
  DeviceWorkspace workspace(context);
  DeviceMatrix<float> x(context, 5, 3);
  REQUIRE(cudaSetDevice(1 << 20) != cudaSuccess);
  CHECK_NOTHROW(CuBlas::fill(workspace, 2, x.view()));
  CHECK(to_host(x) == Matrix<float>::Constant(5, 3, 2));
  CHECK(cudaGetLastError() != cudaSuccess);

  const Index too_much = Index(1) << 50;
  CHECK_THROWS_AS(DeviceMatrix<float>(context, too_much, 1), BackendError);
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("set_factors writes where the factors lie") {
  Adapter<float, Identity, Auto, Pre, CuBlas> adapter(test_context(), 6, 2, 1.0F);
  const float* A = adapter.A().data();
  const float* B = adapter.B().data();
  const auto new_B = random_matrix<float>(6, 2, 1);
  adapter.set_factors(new_B, random_matrix<float>(2, 6, 2));
  CHECK(adapter.A().data() == A);
  CHECK(adapter.B().data() == B);
  CHECK(to_host(adapter.B()) == new_B);
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
