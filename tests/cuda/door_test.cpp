// SPDX-License-Identifier: Apache-2.0
// How matrices of the device enter: what no BLAS can read is refused in words, never copied.

#include <doctest/doctest.h>

#include "../support/random_matrices.hpp"
#include "on_device.hpp"

using namespace lorma;
using lorma_tests::random_matrix;
using lorma_tests::test_context;

namespace {

template <typename F>
bool says(std::string_view what, F&& call) {
  try {
    call();
  } catch (const ShapeError& error) {
    return std::string_view(error.what()).find(what) != std::string_view::npos;
  }
  return false;
}

}  // namespace

TEST_CASE("leading dimensions that hold no line are refused, as inputs and as outputs") {
  const Adapter<float, Identity, Auto, Pre, CuBlas> adapter(test_context(), 4, 2, 1.0F);
  const auto W0 = to_device(test_context(), random_matrix<float>(4, 3, 1));
  const auto X = to_device(test_context(), random_matrix<float>(3, 5, 2));
  auto H = to_device(test_context(), Matrix<float>::Constant(4, 5, 7));
  auto parent = to_device(test_context(), Matrix<float>::Constant(40, 1, 7));
  DeviceWorkspace workspace(test_context());
  for (const Index ld : {0, 1, 2, -3}) {
    CAPTURE(ld);
    const DeviceView<float> x(test_context(), {parent.data() + 20, 3, 5, ld});
    const DeviceView<float> h(test_context(), {parent.data() + 20, 4, 5, ld});
    CHECK(says("expected X", [&] { adapter.forward_into(H, W0, x, workspace); }));
    CHECK(says("expected H", [&] { adapter.forward_into(h, W0, X, workspace); }));
    CHECK(says("expected W0", [&] { adapter.merge_into(H, x, workspace); }));
  }
  CHECK(says("is not copied", [&] {
    adapter.forward(W0, DeviceView<float>(test_context(), {parent.data(), 3, 5, 1}));
  }));
  CHECK((to_host(H).array() == 7.0F).all());
  CHECK((to_host(parent).array() == 7.0F).all());
}

TEST_CASE("outputs on the device share no memory with another operand") {
  const Adapter<float, Identity, Auto, Pre, CuBlas> adapter(test_context(), 4, 2, 1.0F);
  auto W0 = to_device(test_context(), random_matrix<float>(4, 4, 1));
  auto parent = to_device(test_context(), random_matrix<float>(4, 9, 2));
  const Matrix<float> before = to_host(parent);
  const auto view = device_view(test_context(), parent.data(), 4, 9);
  DeviceWorkspace workspace(test_context());
  CHECK(says("expected H to share no memory with X", [&] {
    adapter.forward_into(view.block(0, 0, 4, 5), W0, view.block(0, 4, 4, 5), workspace);
  }));
  CHECK(says("share no memory with W0", [&] {
    adapter.merge_into(view.block(0, 1, 4, 4), view.block(0, 0, 4, 4), workspace);
  }));
  CHECK(says("share no memory with W0", [&] {
    adapter.merge_into(view.block(0, 0, 4, 4).transposed(), view.block(0, 0, 4, 4), workspace);
  }));
  CHECK(to_host(parent) == before);
  CHECK_NOTHROW(
      adapter.merge_into(view.block(0, 0, 4, 4), view.block(0, 0, 4, 4), workspace));  // itself
  CHECK_NOTHROW(adapter.merge_into(view.block(0, 5, 4, 4), view.block(0, 0, 4, 4), workspace));
}

TEST_CASE("sizes on the device are 64-bit ones, and their products fit") {
  // Never dereferenced: the shapes do not fit each other.
  const Adapter<float, Identity, Auto, Pre, CuBlas> adapter(test_context(), 4, 2, 1.0F);
  const auto X = to_device(test_context(), random_matrix<float>(3, 5, 2));
  float* const nowhere = nullptr;
  const Index large = Index(1) << 33, huge = Index(1) << 60;
  const auto weight = [&](Index rows, Index cols) {
    return DeviceView<float>(test_context(), {nowhere, rows, cols, std::max<Index>(1, rows)});
  };
  CHECK(says("n = 4", [&] { adapter.merge(weight(large, 3)); }));
  DeviceWorkspace workspace(test_context());
  DeviceMatrix<float> H(test_context(), 4, 5);
  CHECK(says("n = 4", [&] { adapter.forward_into(H, weight(large, 3), X, workspace); }));
  CHECK(says("sizes that fit", [&] { adapter.forward_into(H, weight(huge, huge), X, workspace); }));
  CHECK(says("sizes that fit", [&] { adapter.forward_into(H, weight(-1, 3), X, workspace); }));
}

TEST_CASE("a view over factors of the device copies nothing") {
  DeviceMatrix<float> B = to_device(test_context(), random_matrix<float>(6, 2, 1));
  const DeviceMatrix<float> A = to_device(test_context(), random_matrix<float>(2, 6, 2));
  const AdapterView<float, Identity, Auto, Pre, CuBlas> view(B, A, 0.5F);
  CHECK(view.factors().B.data == B.data());
  CHECK(view.factors().A.data == A.data());
  CHECK(view.rank() == 2);
  CHECK(says("expected factors B (n x r) and A (r x n)", [&] {
    AdapterView<float, Identity, Auto, Pre, CuBlas>(A, B, 0.5F).inflated();
    AdapterView<float, Identity, Auto, Pre, CuBlas>(B, B, 0.5F);
  }));
}
