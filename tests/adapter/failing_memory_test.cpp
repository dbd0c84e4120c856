// SPDX-License-Identifier: Apache-2.0
// A verb that runs out of memory leaves what it was to write as it was, to the bit: every
// allocation of every verb fails once.

#include <doctest/doctest.h>

#include <cstring>
#include <lorma/adapter/composition.hpp>
#include <lorma/adapter/mixed_batch.hpp>
#include <lorma/core/openmp_executor.hpp>
#include <new>

#include "../support/operator_new.hpp"
#include "../support/random_matrices.hpp"

namespace {

long successes_left = -1;  ///< allocations until the one that fails; none fails below 0

bool fails() {
  return successes_left >= 0 && successes_left-- == 0;
}

}  // namespace

// Eigen's memory: the program is linked with --wrap=malloc.
extern "C" void* __real_malloc(std::size_t size);
extern "C" void* __wrap_malloc(std::size_t size);
extern "C" void* __wrap_malloc(std::size_t size) {
  return fails() ? nullptr : __real_malloc(size);
}
bool lorma_tests::may_allocate() {
  return !fails();
}

#ifdef _OPENMP
namespace {
// What the runtime of OpenMP allocates when it is first used is not ours to fail: libomp then waits
// for itself for ever.
[[maybe_unused]] const bool has_begun = [] {
  lorma::detail::openmp_parallel_for(2, [](lorma::Index) {});
  return true;
}();
}  // namespace
#endif

using namespace lorma;
using namespace lorma_tests;

namespace {

template <typename M>
bool same_bits(const M& a, const M& b) {
  return a.rows() == b.rows() && a.cols() == b.cols() &&
         std::memcmp(a.data(), b.data(),
                     static_cast<std::size_t>(a.size()) * sizeof(typename M::Scalar)) == 0;
}

/// Calls `verb` until no allocation of it fails; returns how many did.
template <typename Verb, typename... M>
long never_half_written(Verb&& verb, M&... outputs) {
  const std::tuple<M...> before(outputs...);
  for (long k = 0;; ++k) {
    bool refused = false;
    successes_left = k;
    try {
      verb();
    } catch (const std::bad_alloc&) {
      refused = true;
    }
    const bool none_failed = successes_left >= 0;
    successes_left = -1;
    CAPTURE(k);
    std::apply(
        [&](const M&... old) {
          if (refused) CHECK((same_bits(outputs, old) && ...));
          ((outputs = old), ...);
        },
        before);
    if (none_failed) {
      CHECK_FALSE(refused);
      return k;
    }
  }
}

/// A workspace for two threads, whose tasks run one after the other.
Workspace two_threads() {
  Workspace workspace;
  workspace.set_executor({2, [](Index count, IndexedTask task) {
                            for (Index i = 0; i < count; ++i) task(i);
                          }});
  return workspace;
}

template <typename A>
A random_adapter(Index n, unsigned seed = 1) {
  using S = typename A::Scalar;
  A a(n, 2, S(1));
  a.A() = random_matrix<S>(2, n, seed);
  a.B() = random_matrix<S>(n, 2, seed + 1);
  if (!AddsIdentity<typename A::Inflation>) {  // near the identity start
    a.B().col(0).setConstant(S(1.5));
    a.A().row(0).setZero();
    a.A()(0, 0) = S(1.5);
  }
  return a;
}

/// merge and unmerge of a weight stored as T; panels of unequal width on either side.
template <typename A, typename T>
void check_weight(Index n, Index other) {
  constexpr bool pre = std::is_same_v<typename A::Side, Pre>;
  const A a = random_adapter<A>(n);
  Matrix<T> W = random_matrix<float>(pre ? n : other, pre ? other : n, 3).template cast<T>();
  const Matrix<T> W0 = W;
  const auto in_place = [&](auto&& verb) {
    return never_half_written(
        [&] {
          Workspace workspace = two_threads();
          verb(workspace);
        },
        W);
  };
  CHECK(in_place([&](Workspace& ws) { a.merge_in_place(W, ws); }) > 1);
  CHECK(in_place([&](Workspace& ws) { a.merge_into(W, W0, ws); }) > 1);
  if constexpr (!std::is_same_v<typename A::Inflation, None>) {
    CHECK(in_place([&](Workspace& ws) { a.unmerge_in_place(W, ws); }) > 1);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("a weight that is merged or unmerged is never half written", A, Adapter<float>,
                   Adapter<float, Identity, Auto, Post>, Adapter<float, None>,
                   Adapter<float, CyclicPermutation>, Adapter<float, CyclicPermutation, Auto, Post>,
                   Adapter<float, CyclicPermutation, ActivationFirst<Dense>>,
                   Adapter<float, Identity, ActivationFirst<Dense>, Post>) {
  check_weight<A, float>(40, 300);
  check_weight<A, Eigen::half>(40, 300);
  check_weight<A, Eigen::bfloat16>(43, 257);
  check_weight<A, float>(3, 2);
}

TEST_CASE("a weight in panels of unequal width is never half written") {
  check_weight<Adapter<float>, float>(640, 300);
  check_weight<Adapter<double, Identity, Auto, Post>, double>(1400, 47);
}

TEST_CASE("a weight of a composition is never half written") {
  const auto pre = random_adapter<Adapter<double>>(40, 1);
  const auto pi = random_adapter<Adapter<double, CyclicPermutation>>(40, 3);
  const auto post = random_adapter<Adapter<double, CyclicPermutation, Auto, Post>>(300, 5);
  const Composition all(pre, pi, post);
  Matrix<double> W = random_matrix<double>(40, 300, 7);
  never_half_written([&] { all.merge_in_place(W); }, W);
}

TEST_CASE("a composition undone is never half written") {
  const Composition both(random_adapter<Adapter<double>>(24, 1),
                         random_adapter<Adapter<double, CyclicPermutation>>(24, 3));
  Matrix<double> W = random_matrix<double>(24, 300, 7);
  never_half_written([&] { both.unmerge_in_place(W); }, W);
}

TEST_CASE_TEMPLATE("outputs of forward, backward and P are never half written", A, Adapter<float>,
                   Adapter<float, Identity, Auto, Post>, Adapter<double, None, WeightFirst<>>,
                   Adapter<float, CyclicPermutation>, Adapter<float, CyclicPermutation, Auto, Post>,
                   Adapter<float, CyclicPermutation, WeightFirst<Spectral>>,
                   Adapter<float, CyclicPermutation, ActivationFirst<Dense>, Post>,
                   Adapter<double, Identity, ActivationFirst<Dense>>) {
  using S = typename A::Scalar;
  constexpr bool pre = std::is_same_v<typename A::Side, Pre>;
  constexpr Index d = 40, k = 30;
  for (const Index b : {1, 33}) {
    const A a = random_adapter<A>(pre ? d : k);
    const Matrix<S> W0 = random_matrix<S>(d, k, 3);
    const Matrix<S> X = random_matrix<S>(k, b, 4);
    const Matrix<S> G = random_matrix<S>(d, b, 5);
    const Matrix<S> Y = random_matrix<S>(a.dim(), b, 8);
    Matrix<S> H = random_matrix<S>(d, b, 6);
    Matrix<S> dX = random_matrix<S>(k, b, 7), dY = Y;
    Matrix<S> dA = a.A(), dB = a.B();
    never_half_written(
        [&] {
          Workspace workspace = two_threads();
          a.forward_into(H, W0, X, workspace);
        },
        H);
    never_half_written(
        [&] {
          typename A::Tape tape;
          a.forward_into(H, W0, X, tape);
        },
        H);
    for (const bool accumulated : {false, true}) {
      typename A::Tape recorded;
      a.forward(W0, X, recorded);
      never_half_written(
          [&] {
            recorded.workspace().release();
            a.backward_into(dX, dA, dB, W0, G, recorded, accumulated);
          },
          dX, dA, dB);
      never_half_written(
          [&] {
            Workspace workspace = two_threads();
            a.vjp_into(dY, dA, dB, Y, Y, workspace, accumulated);
          },
          dY, dA, dB);
    }
    never_half_written(
        [&] {
          Workspace workspace;
          a.apply_into(dY, dY, workspace);
        },
        dY);
    never_half_written(
        [&] {
          Workspace workspace;
          a.apply_adjoint_into(dY, Y, workspace);
        },
        dY);
  }
}

TEST_CASE_TEMPLATE("the output of a mixed batch is never half written", A, Adapter<float>,
                   Adapter<float, CyclicPermutation>,
                   Adapter<float, CyclicPermutation, Auto, Post>) {
  constexpr Index n = 40, b = 50;
  const A one = random_adapter<A>(n, 1), two = random_adapter<A>(n, 3);
  using View = AdapterView<float, typename A::Inflation, Auto, typename A::Side>;
  const std::vector<AdapterSlice<View>> slices{{View(one), 0, 30}, {View(two), 35, 9}};
  const Matrix<float> W0 = random_matrix<float>(n, n, 3);
  const Matrix<float> X = random_matrix<float>(n, b, 4);
  Matrix<float> H = random_matrix<float>(n, b, 6);
  never_half_written(
      [&] {
        Workspace workspace = two_threads();
        forward_mixed_into(H, W0, X, slices, workspace);
      },
      H);
}

TEST_CASE("results that change their size without memory are what they were") {
  const auto a = random_adapter<Adapter<float>>(40);
  const Matrix<float> W0 = random_matrix<float>(40, 30, 3);
  Adapter<float>::Tape tape;
  a.forward(W0, random_matrix<float>(30, 7, 4), tape);
  const Matrix<float> G = random_matrix<float>(40, 7, 5);
  for (long k = 0; k < 3; ++k) {
    Adapter<float>::Gradients g;
    g.dX.setOnes(5, 5);
    g.dA.setOnes(5, 5);
    g.dB.setOnes(5, 5);
    successes_left = k;
    CHECK_THROWS_AS(a.backward_into(g, W0, G, tape), std::bad_alloc);
    successes_left = -1;
  }
}
