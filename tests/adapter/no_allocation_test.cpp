// SPDX-License-Identifier: Apache-2.0
// Once warm, the variants that write into the caller's storage allocate nothing: neither by Eigen's
// allocator (which asserts here) nor by operator new (which counts).

#include <atomic>

#define EIGEN_RUNTIME_NO_MALLOC
#include <doctest/doctest.h>

#include <lorma/adapter/adapter.hpp>

#include "../support/operator_new.hpp"
#include "../support/random_matrices.hpp"

namespace {
std::atomic<long> allocations{0};
}  // namespace

bool lorma_tests::may_allocate() {
  ++allocations;
  return true;
}

using namespace lorma;
using namespace lorma_tests;

namespace {

template <typename A>
void is_quiet_once_warm(Index d, Index k, Index b) {
  using S = typename A::Scalar;
  constexpr bool pre = std::is_same_v<typename A::Side, Pre>;
  A a(pre ? d : k, 4, S(4));
  a.A() = random_matrix<S>(4, a.dim(), 1);
  a.B() = random_matrix<S>(a.dim(), 4, 2);
  const Matrix<S> W0 = random_matrix<S>(d, k, 3);
  const Matrix<S> X = random_matrix<S>(k, b, 4);
  const Matrix<S> G = random_matrix<S>(d, b, 5);
  Matrix<S> H(d, b);
  Matrix<S> W = W0;
  Tape<A> tape;
  Workspace workspace;
  typename A::Gradients g;
  const auto step = [&] {
    a.forward_into(H, W0, X, workspace);
    a.forward_into(H, W0, X, tape);
    a.backward_into(g, W0, G, tape);
    W = W0;
    a.merge_in_place(W, workspace);
  };
  step();
  step();  // the workspace has joined its blocks
  const long before = allocations;
  const std::size_t held = tape.bytes() + workspace.bytes();
  Eigen::internal::set_is_malloc_allowed(false);
  step();
  step();
  Eigen::internal::set_is_malloc_allowed(true);
  CHECK(allocations == before);
  CHECK(tape.bytes() + workspace.bytes() == held);
}

}  // namespace

TEST_CASE_TEMPLATE("forward, backward and merge allocate nothing once warm", A, Adapter<float>,
                   Adapter<double>, Adapter<float, Identity, Auto, Post>, Adapter<float, None>,
                   Adapter<float, Identity, WeightFirst<>>, Adapter<float, CyclicPermutation>,
                   Adapter<double, CyclicPermutation, ActivationFirst<Spectral>, Post>,
                   Adapter<float, CyclicPermutation, ActivationFirst<Dense>>,
                   Adapter<float, CyclicPermutation, WeightFirst<Spectral>, Post>) {
  is_quiet_once_warm<A>(192, 160, 64);  // larger than what Eigen would put on the stack
  is_quiet_once_warm<A>(192, 160, 1);
}
