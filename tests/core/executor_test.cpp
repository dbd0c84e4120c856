// SPDX-License-Identifier: Apache-2.0
// Executors: whose threads work, and that nobody can tell from the results.

#include <doctest/doctest.h>

#include <atomic>
#include <lorma/adapter/adapter.hpp>
#include <lorma/adapter/mixed_batch.hpp>
#include <thread>
#include <vector>

#include "../support/random_matrices.hpp"

using namespace lorma;
using namespace lorma_tests;

namespace {

/// Threads made anew for every call, last task first.
Executor threads_of_the_test(Index threads, std::atomic<int>* calls = nullptr) {
  return {threads, [threads, calls](Index count, IndexedTask task) {
            if (calls != nullptr) ++*calls;
            std::atomic<Index> next{count};
            std::vector<std::thread> pool;
            for (Index t = 0; t < threads; ++t) {
              pool.emplace_back([&] {
                for (Index i = --next; i >= 0; i = --next) task(i);
              });
            }
            for (auto& thread : pool) thread.join();
          }};
}

template <typename S>
bool same_bits(const Matrix<S>& a, const Matrix<S>& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         std::equal(a.data(), a.data() + a.size(), b.data());
}

template <typename A>
struct Results {
  using S = typename A::Scalar;
  Matrix<S> H, H_tape, dX, dA, dB, W;
};

template <typename A>
Results<A> run(const A& a, Index d, Index k, Index b, bool row_major, const Executor& executor) {
  using S = typename A::Scalar;
  using Row = Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Matrix<S> W0 = random_matrix<S>(d, k, 3);
  const Matrix<S> X = random_matrix<S>(k, b, 4);
  const Matrix<S> G = random_matrix<S>(d, b, 5);
  Results<A> r;
  r.H.resize(d, b);
  r.H_tape.resize(d, b);
  Workspace workspace;
  workspace.set_executor(executor);
  Tape<A> tape;
  tape.workspace().set_executor(executor);
  typename A::Gradients g;
  if (row_major) {
    const Row X_row = X;
    const Row G_row = G;
    a.forward_into(r.H, W0, X_row, workspace);
    a.forward_into(r.H_tape, W0, X_row, tape);
    a.backward_into(g, W0, G_row, tape);
  } else {
    a.forward_into(r.H, W0, X, workspace);
    a.forward_into(r.H_tape, W0, X, tape);
    a.backward_into(g, W0, G, tape);
  }
  r.dX = g.dX;
  r.dA = g.dA;
  r.dB = g.dB;
  r.W = W0;
  a.merge_in_place(r.W, workspace);
  return r;
}

template <typename A>
void check_equal_bits(Index d, Index k, Index b, Index r) {
  using S = typename A::Scalar;
  constexpr bool pre = std::is_same_v<typename A::Side, Pre>;
  A a(pre ? d : k, r, S(2));
  a.A() = random_matrix<S>(r, a.dim(), 1);
  a.B() = random_matrix<S>(a.dim(), r, 2);
  for (const bool row_major : {false, true}) {
    const auto expected = run(a, d, k, b, row_major, serial_executor());
    for (const Index threads : {1, 2, 3, 7}) {
      CAPTURE(threads);
      CAPTURE(row_major);
      const auto got = run(a, d, k, b, row_major, threads_of_the_test(threads));
      CHECK(same_bits(got.H, expected.H));
      CHECK(same_bits(got.H_tape, expected.H_tape));
      CHECK(same_bits(got.dX, expected.dX));
      CHECK(same_bits(got.dA, expected.dA));
      CHECK(same_bits(got.dB, expected.dB));
      CHECK(same_bits(got.W, expected.W));
    }
    // The default: OpenMP's threads where there are some.
    const auto got = run(a, d, k, b, row_major, Executor());
    CHECK(same_bits(got.dA, expected.dA));
    CHECK(same_bits(got.H, expected.H));
  }
}

}  // namespace

TEST_CASE("a task runs once for every index, whoever runs it") {
  for (const Executor& executor : {serial_executor(), Executor(), threads_of_the_test(3)}) {
    CHECK(executor.threads() >= 1);
    for (const Index count : {0, 1, 2, 17}) {
      std::vector<std::atomic<int>> hits(static_cast<std::size_t>(count));
      executor.parallel_for(count, [&](Index i) { ++hits[static_cast<std::size_t>(i)]; });
      for (const auto& hit : hits) CHECK(hit == 1);
    }
  }
}

TEST_CASE("results are the same to the bit for every number of threads") {
  check_equal_bits<Adapter<float, CyclicPermutation, ActivationFirst<Spectral>>>(96, 64, 75, 3);
  check_equal_bits<Adapter<double, CyclicPermutation, ActivationFirst<Spectral>, Post>>(40, 43, 33,
                                                                                        2);
  check_equal_bits<Adapter<float, CyclicPermutation, WeightFirst<Spectral>>>(48, 90, 20, 2);
  // Products large enough to be shared out.
  check_equal_bits<Adapter<float, Identity>>(301, 257, 130, 8);
  check_equal_bits<Adapter<double, CyclicPermutation, ActivationFirst<Dense>, Post>>(130, 211, 95,
                                                                                     4);
}

TEST_CASE("the caller's threads are used, and copies of a workspace keep them") {
  std::atomic<int> calls{0};
  Workspace workspace;
  workspace.set_executor(threads_of_the_test(2, &calls));
  Workspace copy(workspace);
  Adapter<float, CyclicPermutation, ActivationFirst<Spectral>> a(64, 2, 2.0F);
  a.A() = random_matrix<float>(2, 64, 1);
  a.B() = random_matrix<float>(64, 2, 2);
  const Matrix<float> W0 = random_matrix<float>(64, 64, 3);
  Matrix<float> H(64, 8);
  a.forward_into(H, W0, random_matrix<float>(64, 8, 4), copy);
  CHECK(calls > 0);
  copy.release();
  CHECK(copy.executor().threads() == 2);
}

TEST_CASE("a batch of several adapters does not depend on threads either") {
  using View = AdapterView<float, CyclicPermutation>;
  std::vector<Adapter<float, CyclicPermutation>> adapters;
  for (unsigned i = 0; i < 3; ++i) {
    adapters.emplace_back(50, Index(i) + 1, 2.0F);
    adapters.back().A() = random_matrix<float>(Index(i) + 1, 50, 10 + i);
    adapters.back().B() = random_matrix<float>(50, Index(i) + 1, 20 + i);
  }
  const std::vector<AdapterSlice<View>> slices{
      {adapters[0], 0, 21}, {adapters[1], 23, 3}, {adapters[2], 26, 40}};
  const Matrix<float> W0 = random_matrix<float>(50, 30, 3);
  const Matrix<float> X = random_matrix<float>(30, 70, 4);
  const auto with = [&](const Executor& executor) {
    Workspace workspace;
    workspace.set_executor(executor);
    Matrix<float> H(50, 70);
    forward_mixed_into(H, W0, X, slices, workspace);
    return H;
  };
  const Matrix<float> expected = with(serial_executor());
  for (const Index threads : {2, 3, 7}) {
    CHECK(same_bits(with(threads_of_the_test(threads)), expected));
  }
  for (const auto& slice : slices) {
    const auto columns = expected.middleCols(slice.first, slice.count);
    const Matrix<float> alone = slice.adapter.forward(W0, X.middleCols(slice.first, slice.count));
    CHECK(distance(columns, alone) <=
          50 * 4 * eps<float> * norm(W0) * norm(X) * (1 + norm(slice.adapter.inflated())));
  }
  CHECK(distance(expected.middleCols(21, 2), W0 * X.middleCols(21, 2)) <= 1e-4);
}
