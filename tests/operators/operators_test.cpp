// SPDX-License-Identifier: Apache-2.0
// Every evaluation of every inflation answers the three questions alike: against P written out.

#include <doctest/doctest.h>

#include <lorma/backend/eigen_cpu.hpp>
#include <lorma/inflation/cyclic_permutation.hpp>
#include <lorma/inflation/identity.hpp>
#include <lorma/inflation/none.hpp>
#include <lorma/operators/dense.hpp>
#include <lorma/operators/factored.hpp>
#include <lorma/operators/spectral.hpp>

#include "../support/random_matrices.hpp"

using lorma::EigenCpu;
using lorma::Factors;
using lorma::Index;
using lorma::MatrixView;
using lorma::view_of;
using lorma::Workspace;
using namespace lorma_tests;

namespace {

template <typename I, typename S>
Matrix<S> written_out(const Matrix<S>& B, const Matrix<S>& A, S scale) {
  const Matrix<S> M = scale * B * A;
  const Index n = M.rows();
  if constexpr (std::is_same_v<I, lorma::CyclicPermutation>) {
    Matrix<S> P(n, n);
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) P(i, j) = M(i, (j - i + n) % n);
    }
    return P;
  } else {
    return std::is_same_v<I, lorma::Identity> ? Matrix<S>(M + Matrix<S>::Identity(n, n)) : M;
  }
}

/// Adjoint of M -> I(M).
template <typename I, typename S>
Matrix<S> gathered(const Matrix<S>& dP) {
  if constexpr (std::is_same_v<I, lorma::CyclicPermutation>) {
    const Index n = dP.rows();
    Matrix<S> dM(n, n);
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) dM(i, j) = dP(i, (j + i) % n);
    }
    return dM;
  } else {
    return dP;
  }
}

template <typename Evaluation, typename I, typename S>
void check_operator(Index n, Index r, Index b) {
  CAPTURE(n);
  CAPTURE(r);
  CAPTURE(b);
  using Op = lorma::Operator<Evaluation, I, EigenCpu, S>;
  const Matrix<S> B = random_matrix<S>(n, r, 1);
  const Matrix<S> A = random_matrix<S>(r, n, 2);
  const Matrix<S> Y = random_matrix<S>(n, b, 3);
  const Matrix<S> G = random_matrix<S>(n, b, 4);
  const S scale = S(0.75);
  const Matrix<S> P = written_out<I>(B, A, scale);
  const Matrix<S> dM = gathered<I>(Matrix<S>(G * Y.transpose()));
  const double size = 1.0 + norm(A) * norm(B);
  const double unit = 4.0 * eps<S> * double(n + r + b + 4);

  Workspace workspace;
  const auto frame = workspace.frame();
  const Op op(workspace, Factors<S>{view_of(B), view_of(A), scale});
  std::vector<S> kept(std::size_t(std::max<Index>(1, Op::kept_size(n, r, b))));
  const S nan = std::numeric_limits<S>::quiet_NaN();
  for (S* keep : {static_cast<S*>(nullptr), kept.data()}) {
    Matrix<S> out = Matrix<S>::Constant(n, b, nan);
    op.apply(workspace, view_of(Y), view_of(out), keep);
    CHECK(distance(out, P * Y) <= unit * size * norm(Y));

    Matrix<S> dY = Matrix<S>::Constant(n, b, nan);
    Matrix<S> dA = Matrix<S>::Constant(r, n, nan);
    Matrix<S> dB = Matrix<S>::Constant(n, r, nan);
    op.vjp(workspace, view_of(G), view_of(Y), keep, view_of(dY), view_of(dA), view_of(dB), false);
    CHECK(distance(dY, P.transpose() * G) <= unit * size * norm(G));
    CHECK(distance(dA, scale * B.transpose() * dM) <= unit * norm(B) * norm(G) * norm(Y));
    CHECK(distance(dB, scale * dM * A.transpose()) <= unit * norm(A) * norm(G) * norm(Y));

    // Without dY, and with dY in the place of G: the same numbers.
    Matrix<S> again_A = Matrix<S>::Constant(r, n, nan);
    Matrix<S> again_B = Matrix<S>::Constant(n, r, nan);
    op.vjp(workspace, view_of(G), view_of(Y), keep, MatrixView<S>(), view_of(again_A),
           view_of(again_B), false);
    CHECK(again_A == dA);
    CHECK(again_B == dB);
    Matrix<S> in_place = G;
    op.vjp(workspace, view_of(std::as_const(in_place)), view_of(Y), keep, view_of(in_place),
           view_of(again_A), view_of(again_B), false);
    CHECK(distance(in_place, dY) <= unit * size * norm(G));
    CHECK(again_A == dA);
    CHECK(again_B == dB);

    // Each alone, and added to what is there.
    again_A.setConstant(nan);
    op.vjp(workspace, view_of(G), view_of(Y), keep, {}, view_of(again_A), {}, false);
    CHECK(again_A == dA);
    again_B.setConstant(nan);
    op.vjp(workspace, view_of(G), view_of(Y), keep, {}, {}, view_of(again_B), false);
    CHECK(again_B == dB);
    Matrix<S> again_Y = Matrix<S>::Constant(n, b, nan);
    op.vjp(workspace, view_of(G), view_of(Y), keep, view_of(again_Y), {}, {}, false);
    CHECK(distance(again_Y, dY) <= unit * size * norm(G));
    op.vjp(workspace, view_of(G), view_of(Y), keep, {}, view_of(again_A), view_of(again_B), true);
    CHECK(distance(again_A, 2 * dA) <= unit * norm(B) * norm(G) * norm(Y));
    CHECK(distance(again_B, 2 * dB) <= unit * norm(A) * norm(G) * norm(Y));
  }
  Matrix<S> out = Matrix<S>::Constant(n, b, nan);
  op.apply_adjoint(workspace, view_of(G), view_of(out));
  CHECK(distance(out, P.transpose() * G) <= unit * size * norm(G));
  Matrix<S> in_place = Y;
  op.apply(workspace, view_of(std::as_const(in_place)), view_of(in_place));
  CHECK(distance(in_place, P * Y) <= unit * size * norm(Y));
  in_place = G;
  op.apply_adjoint(workspace, view_of(std::as_const(in_place)), view_of(in_place));
  CHECK(distance(in_place, out) <= unit * size * norm(G));
}

template <typename Evaluation, typename I>
void check_sizes() {
  for (const auto& sizes : {std::array<Index, 3>{1, 1, 1},
                            {12, 3, 5},
                            {5, 9, 1},
                            {43, 4, 7},
                            {64, 8, 33},
                            {30, 1, 2},
                            {7, 2, 300},
                            {9, 2, 0}}) {
    const Index n = std::get<0>(sizes);
    const Index r = std::get<1>(sizes);
    const Index b = std::get<2>(sizes);
    check_operator<Evaluation, I, double>(n, r, b);
    check_operator<Evaluation, I, float>(n, r, b);
  }
}

}  // namespace

TEST_CASE("Factored") {
  check_sizes<lorma::Factored, lorma::Identity>();
  check_sizes<lorma::Factored, lorma::None>();
}

TEST_CASE("Dense") {
  check_sizes<lorma::Dense, lorma::Identity>();
  check_sizes<lorma::Dense, lorma::None>();
  check_sizes<lorma::Dense, lorma::CyclicPermutation>();
}

TEST_CASE("Spectral") {
  check_sizes<lorma::Spectral, lorma::CyclicPermutation>();
}
