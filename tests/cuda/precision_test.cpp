// SPDX-License-Identifier: Apache-2.0
// What must not depend on limits, on the run or on where a matrix lies.

#include <doctest/doctest.h>

#include <optional>

#include "../support/random_matrices.hpp"
#include "on_device.hpp"

using namespace lorma;
using lorma_tests::distance;
using lorma_tests::norm;
using lorma_tests::random_matrix;
using lorma_tests::test_context;
using lorma_tests::Uploaded;

namespace {

/// Three columns at a time: what takes one batch elsewhere takes several here.
CudaContext narrow_context() {
  return CudaContext::create(
      {.workspace_bytes = std::size_t(1) << 20, .panel_columns = 3, .spectral_bytes = 1000});
}

/// Everything a layer computes.
template <typename S, typename Inflation, typename Order, typename Side, typename W = S>
std::vector<Matrix<double>> layer(const CudaContext& context, Index d, Index k) {
  const Index n = Side::dim(d, k), r = 2, b = 8;
  Adapter<S, Inflation, Order, Side, CuBlas> adapter(context, n, r, 2.0F);
  adapter.set_factors(random_matrix<double>(n, r, 1).template cast<S>(),
                      random_matrix<double>(r, n, 2).template cast<S>());
  auto W0 = to_device(context, random_matrix<double>(d, k, 3).template cast<W>());
  const auto X = to_device(context, random_matrix<double>(k, b, 4).template cast<S>());
  const auto G = to_device(context, random_matrix<double>(d, b, 5).template cast<S>());
  typename decltype(adapter)::Tape tape(context);
  const auto H = adapter.forward(W0, X, tape);
  const auto g = adapter.backward(W0, G, tape);
  const auto plain = [](const auto& m) {
    return Matrix<double>(to_host(m).template cast<double>());
  };
  std::vector<Matrix<double>> all{plain(H), plain(g.dX), plain(g.dA), plain(g.dB),
                                  plain(adapter.merge(W0))};
  adapter.merge_in_place(W0);
  all.push_back(plain(W0));
  return all;
}

/// Relative to the largest result, as everything here is of about one size.
double difference(const std::vector<Matrix<double>>& a, const std::vector<Matrix<double>>& b) {
  double size = 0, worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    size = std::max(size, norm(b[i]));
    worst = std::max(worst, distance(a[i], b[i]));
  }
  return worst / size;
}

template <typename S, typename I, typename O, typename W = S>
struct Case {
  using Scalar = S;
  using Inflation = I;
  using Order = O;
  using Weight = W;
};

}  // namespace

TEST_CASE_TEMPLATE("narrow panels and batches give the same numbers", C,
                   Case<double, Identity, ActivationFirst<Dense>>,
                   Case<double, CyclicPermutation, ActivationFirst<Dense>>,
                   Case<double, CyclicPermutation, ActivationFirst<Spectral>>,
                   Case<float, Identity, WeightFirst<Factored>, Eigen::half>,
                   Case<float, CyclicPermutation, WeightFirst<Spectral>, Eigen::bfloat16>) {
  const auto narrow = narrow_context();
  const auto check = [&](auto side, Index d, Index k) {
    using Side = decltype(side);
    const auto run = [&](const CudaContext& context) {
      return layer<typename C::Scalar, typename C::Inflation, typename C::Order, Side,
                   typename C::Weight>(context, d, k);
    };
    const double eps = lorma_tests::eps<typename C::Scalar>;
    // A weight of 16 bits may be rounded to the neighbour.
    const bool exact = std::is_same_v<typename C::Scalar, typename C::Weight>;
    CHECK(difference(run(narrow), run(test_context())) <= (exact ? 64 * eps : 0x1p-8));
  };
  check(Pre{}, 13, 10);
  check(Post{}, 11, 14);
}

TEST_CASE_TEMPLATE("two runs give the same bits", C, Case<float, Identity, Auto>,
                   Case<Eigen::bfloat16, Identity, Auto>,
                   Case<float, CyclicPermutation, ActivationFirst<Spectral>>,
                   Case<Eigen::half, CyclicPermutation, ActivationFirst<Dense>>) {
  const auto run = [](const CudaContext& context) {
    return layer<typename C::Scalar, typename C::Inflation, typename C::Order, Pre>(context, 40,
                                                                                    24);
  };
  const auto first = run(test_context());
  CHECK(run(test_context()) == first);
  CHECK(run(lorma_tests::make_context()) == first);
}

TEST_CASE("TF32 rounds operands to 11 bits where it is allowed, and nowhere else") {
  const Index d = 32, k = 24, b = 16, r = 4;
  Adapter<double> host(d, r, 4.0);
  host.B() = random_matrix<double>(d, r, 1).cast<float>().cast<double>();
  host.A() = random_matrix<double>(r, d, 2).cast<float>().cast<double>();
  const Matrix<float> W0 = random_matrix<float>(d, k, 3), X = random_matrix<float>(k, b, 4);
  const Matrix<double> exact = host.forward(W0.cast<double>(), X.cast<double>());
  const double size = (1.0 + norm(host.A()) * norm(host.B())) * norm(W0) * norm(X);
  const auto error = [&](Tf32 tf32) {
    const auto context = CudaContext::create({.tf32 = tf32});
    Adapter<float, Identity, Auto, Pre, CuBlas> adapter(context, d, r, 4.0F);
    adapter.set_factors(host.B().cast<float>(), host.A().cast<float>());
    return distance(to_host(adapter.forward(to_device(context, W0), to_device(context, X))), exact);
  };
  // Three products follow each other, each of two operands rounded by 2^-11 at most; half a percent
  // for products of errors. Norms bound sums of one sign, so that truncation stays below it too.
  CHECK(error(Tf32::allowed) <= 6.03 * 0x1p-11 * size);
  CHECK(error(Tf32::refused) <= 0x1p-18 * size);
}

TEST_CASE_TEMPLATE("the rotation of 16-bit types is that of the view", S, Eigen::half,
                   Eigen::bfloat16) {
  for (const Index n : {1, 8, 13, 24}) {
    Adapter<S, CyclicPermutation, ActivationFirst<Dense>, Pre, CuBlas> adapter(test_context(), n, 1,
                                                                               1.0F);
    // Products of one factor are rounded once, wherever they are made.
    const Matrix<S> B = random_matrix<double>(n, 1, 1).template cast<S>();
    const Matrix<S> A = random_matrix<double>(1, n, 2).template cast<S>();
    adapter.set_factors(B, A);
    const Matrix<S> P = to_host(adapter.inflated());
    Index wrong = 0;
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) {
        const float m = static_cast<float>(B(i, 0)) * static_cast<float>(A(0, (j - i + n) % n));
        wrong += P(i, j) == S(m) ? 0 : 1;
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE_TEMPLATE("Dense in 16 bits, odd sizes too", S, Eigen::half, Eigen::bfloat16) {
  const double eps = std::is_same_v<S, Eigen::half> ? 0x1p-10 : 0x1p-7;
  const auto check = [&](auto side, Index d, Index k) {
    using Side = decltype(side);
    const Index n = Side::dim(d, k), r = 2, b = 8;
    Adapter<double, CyclicPermutation, Auto, Side> exact(n, r, 2.0);
    exact.B() = random_matrix<double>(n, r, 1).template cast<S>().template cast<double>();
    exact.A() = random_matrix<double>(r, n, 2).template cast<S>().template cast<double>();
    const auto rounded = [](Index rows, Index cols, unsigned seed) {
      return Matrix<double>(
          random_matrix<double>(rows, cols, seed).template cast<S>().template cast<double>());
    };
    const Matrix<double> W0 = rounded(d, k, 3), X = rounded(k, b, 4), G = rounded(d, b, 5);
    Tape<double> tape;
    const Matrix<double> H = exact.forward(W0, X, tape);
    const auto g = exact.backward(W0, G, tape);
    const auto on_device =
        layer<S, CyclicPermutation, ActivationFirst<Dense>, Side>(test_context(), d, k);
    // Roundings of P (or dP), of what enters it and of what leaves it.
    const double bound = 4.0 * eps * norm(W0) * norm(exact.A()) * norm(exact.B()) *
                         std::sqrt(static_cast<double>(n));
    CHECK(distance(on_device[0], H) <= bound * norm(X));
    CHECK(distance(on_device[1], g.dX) <= bound * norm(G));
    CHECK(distance(on_device[2], g.dA) <= bound * norm(G) * norm(X));
    CHECK(distance(on_device[3], g.dB) <= bound * norm(G) * norm(X));
    CHECK(distance(on_device[4], exact.merge(W0)) <= bound);
    CHECK(on_device[4] == on_device[5]);
  };
  check(Pre{}, 24, 10);
  check(Pre{}, 13, 10);
  check(Post{}, 10, 24);
  check(Post{}, 10, 13);
}

TEST_CASE("lines further apart than a copy of two dimensions takes") {
  const Index ld = (Index(1) << 29) + 1;  // 2^31 + 4 bytes
  std::optional<DeviceMatrix<float>> parent;
  try {
    parent.emplace(test_context(), ld + 4, 1);
  } catch (const BackendError&) {
    MESSAGE("skipped: no 2 GB left on the device");
    return;
  }
  const auto far = device_view(test_context(), parent->data(), 2, 2, StorageOrder::ColMajor, ld);
  const auto X = to_device(test_context(), random_matrix<float>(2, 2, 1));
  DeviceWorkspace workspace(test_context());
  CHECK_NOTHROW(CuBlas::copy(workspace, X.view(), far.view()));
  CHECK(to_host(far) == to_host(X));
  DeviceMatrix<float> back(test_context(), 2, 2);
  CHECK_NOTHROW(CuBlas::copy(workspace, far.view(), back.view()));
  CHECK(to_host(back) == to_host(X));
}
