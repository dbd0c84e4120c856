// SPDX-License-Identifier: Apache-2.0

#include <doctest/doctest.h>

#include <cstdint>
#include <lorma/core/workspace.hpp>
#include <vector>

using lorma::Index;
using lorma::MatrixView;
using lorma::Workspace;

TEST_CASE("what is handed out is aligned, disjoint and stays valid while the workspace grows") {
  Workspace workspace;
  const auto frame = workspace.frame();
  std::vector<MatrixView<double>> taken;
  for (Index i = 1; i <= 40; ++i) {
    taken.push_back(workspace.take<double>(i, 17));
    for (Index j = 0; j < 17; ++j) {
      for (Index k = 0; k < i; ++k) taken.back()(k, j) = double(i);
    }
  }
  for (Index i = 1; i <= 40; ++i) {
    const MatrixView<double>& m = taken[std::size_t(i - 1)];
    CHECK(reinterpret_cast<std::uintptr_t>(m.data) % Workspace::alignment == 0);
    bool kept = true;
    for (Index j = 0; j < 17; ++j) {
      for (Index k = 0; k < i; ++k) kept = kept && m(k, j) == double(i);
    }
    CHECK(kept);
  }
}

TEST_CASE("frames nest, and the same calls again use the same memory") {
  Workspace workspace;
  const auto work = [&workspace] {
    const auto outer = workspace.frame();
    float* first = workspace.take_array<float>(1000);
    float* second = nullptr;
    {
      const auto inner = workspace.frame();
      second = workspace.take_array<float>(5000);
    }
    const auto again = workspace.frame();
    float* third = workspace.take_array<float>(5000);
    CHECK(second == third);  // the inner frame gave it back
    CHECK(first != third);
    return first;
  };
  work();
  const std::size_t bytes = workspace.bytes();
  CHECK(bytes >= 6000 * sizeof(float));
  CHECK(workspace.peak_bytes() == 4032 + 20032);  // each padded to 64 bytes
  const float* place = work();
  for (int i = 0; i < 3; ++i) CHECK(work() == place);
  CHECK(workspace.bytes() == bytes);
}

TEST_CASE("an empty array is a place too; memory can be given back; copies start empty") {
  Workspace workspace;
  {
    const auto frame = workspace.frame();
    CHECK(workspace.take_array<float>(0) != nullptr);
    CHECK(workspace.take<float>(0, 7).empty());
    workspace.release();  // ignored while a frame is open
    CHECK(workspace.bytes() > 0);
  }
  const Workspace copy = workspace;  // NOLINT(performance-unnecessary-copy-initialization)
  CHECK(copy.bytes() == 0);
  const Workspace moved = std::move(workspace);
  CHECK(moved.bytes() > 0);
  Workspace other;
  { const auto frame = other.frame(); }
  other.release();
  CHECK(other.bytes() == 0);
}

TEST_CASE("sizes beyond memory are an exception and leave the workspace usable") {
  Workspace workspace;
  {
    const auto frame = workspace.frame();
    CHECK_THROWS_AS(workspace.take_array<double>(Index(1) << 61), std::bad_alloc);
  }
  const auto frame = workspace.frame();
  double* numbers = workspace.take_array<double>(10);
  numbers[9] = 1.0;
  CHECK(numbers[9] == 1.0);
}
