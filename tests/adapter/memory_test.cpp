// SPDX-License-Identifier: Apache-2.0
// Nothing of the size of P or of the weight is made where the documentation says so, and what is
// held is reported.

#include <doctest/doctest.h>

#include <lorma/adapter/compiled.hpp>

#include "../support/random_matrices.hpp"

using namespace lorma;
using namespace lorma_tests;

namespace {

constexpr Index n = 512;
constexpr Index b = 8;
constexpr Index r = 2;
constexpr std::size_t matrix_bytes = n * n * sizeof(float);

/// Packing buffers of the layer's own product, whose size follows the caches; with a BLAS none.
std::size_t product_bytes(const Matrix<float>& W, const Matrix<float>& X) {
  Workspace workspace;
  Matrix<float> H(n, b);
  EigenCpu::gemm(workspace, 1.0F, view_of(W), view_of(X), 0.0F, view_of(H));
  EigenCpu::gemm(workspace, 1.0F, view_of(W).transposed(), view_of(X), 0.0F, view_of(H));
  return workspace.peak_bytes();
}

template <typename A>
A random_adapter() {
  A adapter(n, r, 2.0F);
  adapter.A() = random_matrix<float>(r, n, 1);
  adapter.B() = random_matrix<float>(n, r, 2);
  return adapter;
}

}  // namespace

TEST_CASE_TEMPLATE("Factored and Spectral hold no n x n and no d x k matrix", A,
                   Adapter<float, Identity, ActivationFirst<Factored>>,
                   Adapter<float, None, ActivationFirst<Factored>, Post>,
                   Adapter<float, CyclicPermutation, ActivationFirst<Spectral>>,
                   Adapter<float, CyclicPermutation, ActivationFirst<Spectral>, Post>) {
  const A adapter = random_adapter<A>();
  Matrix<float> W = random_matrix<float>(n, n, 3);
  const Matrix<float> X = random_matrix<float>(n, b, 4);
  Matrix<float> H(n, b);
  const std::size_t limit = product_bytes(W, X) + matrix_bytes / 4;
  Workspace workspace;
  adapter.forward_into(H, W, X, workspace);
  CHECK(workspace.peak_bytes() < limit);
  Tape<A> tape;
  typename A::Gradients gradients;
  adapter.forward_into(H, W, X, tape);
  adapter.backward_into(gradients, W, H, tape);
  CHECK(tape.bytes() < limit);
  CHECK(tape.bytes() >= n * b * sizeof(float));  // the input of P, at least
  Workspace for_merge;
  adapter.merge_in_place(W, for_merge);
  CHECK(for_merge.peak_bytes() < limit + matrix_bytes / 4);
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> row = W;
  Workspace for_rows;
  adapter.merge_in_place(row, for_rows);
  CHECK(for_rows.peak_bytes() < limit + matrix_bytes / 4);
}

TEST_CASE("Dense holds P as documented: once for Identity, twice for CyclicPermutation") {
  Workspace workspace;
  Matrix<float> H(n, b);
  const Matrix<float> W = random_matrix<float>(n, n, 3);
  const Matrix<float> X = random_matrix<float>(n, b, 4);
  using Plus = Adapter<float, Identity, ActivationFirst<Dense>>;
  random_adapter<Plus>().forward_into(H, W, X, workspace);
  CHECK(workspace.peak_bytes() >= matrix_bytes);
  CHECK(workspace.peak_bytes() < 2 * matrix_bytes + product_bytes(W, X));
  using Pi = Adapter<float, CyclicPermutation, ActivationFirst<Dense>>;
  Workspace second;
  random_adapter<Pi>().forward_into(H, W, X, second);
  CHECK(second.peak_bytes() >= 2 * matrix_bytes);
  CHECK(second.peak_bytes() < 3 * matrix_bytes + product_bytes(W, X));
}

TEST_CASE("memory stays what it is while shapes stay") {
  using A = Adapter<float, CyclicPermutation>;
  const A adapter = random_adapter<A>();
  const Matrix<float> W = random_matrix<float>(n, n, 3);
  const Matrix<float> X = random_matrix<float>(n, b, 4);
  Matrix<float> H(n, b);
  Tape<A> tape;
  typename A::Gradients gradients;
  std::size_t held = 0;
  for (int step = 0; step < 4; ++step) {
    adapter.forward_into(H, W, X, tape);
    adapter.backward_into(gradients, W, H, tape);
    if (step == 1) held = tape.bytes();
  }
  CHECK(tape.bytes() == held);
}
