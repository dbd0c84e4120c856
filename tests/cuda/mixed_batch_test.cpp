// SPDX-License-Identifier: Apache-2.0
// Several adapters in one batch, in every precision.

#include <doctest/doctest.h>

#include "../support/random_matrices.hpp"
#include "on_device.hpp"

using namespace lorma;
using lorma_tests::distance;
using lorma_tests::norm;
using lorma_tests::random_matrix;
using lorma_tests::test_context;
using lorma_tests::Uploaded;

TEST_CASE_TEMPLATE("a mixed batch is each adapter on its own columns", Inflation, Identity, None,
                   CyclicPermutation) {
  const Index d = 10, k = 6, b = 11;
  const auto check = [&](auto side) {
    using Side = decltype(side);
    const Index n = Side::dim(d, k);
    using Host = Adapter<double, Inflation, Auto, Side>;
    using HostView = AdapterView<double, Inflation, Auto, Side>;
    using DeviceAdapterView = AdapterView<double, Inflation, Auto, Side, CuBlas>;
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
    std::vector<AdapterSlice<HostView>> on_host;
    std::vector<AdapterSlice<DeviceAdapterView>> on_device;
    Matrix<double> expected = W0 * X;
    for (std::size_t i = 0; i < hosts.size(); ++i) {
      const auto [first, count] = ranges[i];
      on_host.push_back({hosts[i], first, count});
      on_device.push_back({devices[i], first, count});
      expected.middleCols(first, count) = hosts[i].forward(W0, X.middleCols(first, count));
    }
    const double bound = 1e-13 * norm(expected);
    Workspace workspace;
    Matrix<double> H(d, b);
    forward_mixed_into(H, W0, X, on_host, workspace);
    CHECK(distance(H, expected) <= bound);
    Uploaded<double> w(W0), x(X), h(H);
    DeviceWorkspace scratch(test_context());
    CuBlas::fill(scratch, 0, h.view().view());
    forward_mixed_into(h.view(), w.view(), x.view(), on_device, scratch);
    CHECK(distance(h.host(), expected) <= bound);

    const Matrix<double> before = H;
    on_host[2].first = 3;  // overlaps the first slice
    CHECK_THROWS_AS(forward_mixed_into(H, W0, X, on_host, workspace), ShapeError);
    on_host[2].first = 7;  // runs over the end
    CHECK_THROWS_AS(forward_mixed_into(H, W0, X, on_host, workspace), ShapeError);
    CHECK(H == before);
  };
  check(Pre{});
  check(Post{});
}

namespace {

/// Errors of one batch against the same in double, relative to the norms of what is multiplied.
/// `first` is where the second slice begins: at odd columns its pointers are not aligned.
template <typename S>
double mixed_error(const CudaContext& context, Index n, Index first) {
  const Index k = 8, b = 24;
  std::vector<Adapter<double>> hosts{Adapter<double>(n, 8, 8.0), Adapter<double>(n, 2, 2.0),
                                     Adapter<double>(n, 16, 16.0)};
  const std::vector<std::pair<Index, Index>> ranges{
      {0, first}, {first, 9}, {first + 9, b - first - 9}};
  std::vector<Adapter<S, Identity, Auto, Pre, CuBlas>> devices;
  const Matrix<S> W0 = random_matrix<double>(n, k, 1).template cast<S>();
  const Matrix<S> X = random_matrix<double>(k, b, 2).template cast<S>();
  Matrix<double> expected(n, b);
  std::vector<AdapterSlice<AdapterView<S, Identity, Auto, Pre, CuBlas>>> slices;
  double size = 1;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    const Index r = hosts[i].rank();
    const Matrix<S> B = random_matrix<double>(n, r, 3).template cast<S>();
    const Matrix<S> A = random_matrix<double>(r, n, 4).template cast<S>();
    hosts[i].B() = B.template cast<double>();
    hosts[i].A() = A.template cast<double>();
    devices.emplace_back(context, n, r, float(r)).set_factors(B, A);
    const Index at = ranges[i].first;
    const Index count = ranges[i].second;
    expected.middleCols(at, count) = hosts[i].forward(
        W0.template cast<double>(), X.middleCols(at, count).template cast<double>());
    size = std::max(size, 1.0 + norm(A) * norm(B));
  }
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    slices.push_back({devices[i], ranges[i].first, ranges[i].second});
  }
  const auto w = to_device(context, W0);
  const auto x = to_device(context, X);
  DeviceMatrix<S> h(context, n, b);
  DeviceWorkspace workspace(context);
  forward_mixed_into(h, w, x, slices, workspace);
  return distance(to_host(h), expected) / (size * norm(W0) * norm(X));
}

}  // namespace

TEST_CASE("mixed batches in 16 bits and TF32, wherever slices begin") {
  const auto tf32 = CudaContext::create({.tf32 = Tf32::allowed});
  for (const Index n : {16, 13}) {
    for (const Index first : {4, 5}) {
      CAPTURE(n);
      CAPTURE(first);
      // Three roundings of operands or results along each path.
      CHECK(mixed_error<Eigen::half>(test_context(), n, first) <= 3 * 0x1p-10);
      CHECK(mixed_error<Eigen::bfloat16>(test_context(), n, first) <= 3 * 0x1p-7);
      // Both operands of three products.
      CHECK(mixed_error<float>(tf32, n, first) <= 6.5 * 0x1p-11);
      CHECK(mixed_error<float>(test_context(), n, first) <= 0x1p-18);
    }
  }
}

TEST_CASE_TEMPLATE("Spectral of several adapters at once is each on its own", S, double, float,
                   Eigen::half, Eigen::bfloat16) {
  using P = Operator<Spectral, CyclicPermutation, CuBlas, S>;
  using Exact = Operator<Dense, CyclicPermutation, EigenCpu, double>;
  const Index n = 12;
  const std::vector<Index> ranks{2, 5, 1, 3}, counts{4, 7, 0, 3};
  // Everything in one batch of columns, in several that end within slices, and one at a time.
  for (const std::size_t bytes : {std::size_t(64) << 20, std::size_t(1000), std::size_t(1)}) {
    CAPTURE(bytes);
    const auto context =
        CudaContext::create({.workspace_bytes = std::size_t(1) << 20, .spectral_bytes = bytes});
    DeviceWorkspace workspace(context);
    Workspace host;
    const auto frame = host.frame();
    std::vector<DeviceMatrix<S>> held;
    held.reserve(2 * ranks.size());
    std::vector<Factors<S>> factors;
    const Matrix<S> Y = random_matrix<double>(n, 16, 3).template cast<S>();
    DeviceMatrix<S> y = to_device(context, Y);
    std::vector<MatrixView<S>> parts;
    Matrix<double> expected = Y.template cast<double>();
    double size = 0;
    Index at = 1;
    for (std::size_t i = 0; i < ranks.size(); ++i) {
      const auto seed = static_cast<unsigned>(10 * i);
      const Matrix<S> B = random_matrix<double>(n, ranks[i], seed).template cast<S>();
      const Matrix<S> A = random_matrix<double>(ranks[i], n, seed + 1).template cast<S>();
      const DeviceMatrix<S>& b = held.emplace_back(to_device(context, B));
      const DeviceMatrix<S>& a = held.emplace_back(to_device(context, A));
      const auto scale = static_cast<Accumulator<S>>(0.5 + static_cast<double>(i));
      factors.push_back({b.view(), a.view(), scale});
      parts.push_back(y.view().col_range(at, counts[i]));
      const Matrix<double> B_exact = B.template cast<double>(), A_exact = A.template cast<double>();
      const Exact exact(host, {view_of(B_exact), view_of(A_exact), static_cast<double>(scale)});
      const MatrixView<double> columns = view_of(expected).col_range(at, counts[i]);
      exact.apply(host, columns, columns);
      size = std::max(size, static_cast<double>(scale) * norm(B) * norm(A));
      at += counts[i];
    }
    P::apply_slices(workspace, factors, parts);
    // Sums in the accumulator, and one rounding of the result.
    const double bound = (epsilon_of<S>() + 64.0 * epsilon_of<Accumulator<S>>()) * size * norm(Y);
    CHECK(distance(Matrix<double>(to_host(y).template cast<double>()), expected) <= bound);
    CHECK(to_host(y).col(0) == Y.col(0));
    CHECK(to_host(y).col(15) == Y.col(15));
  }
}
