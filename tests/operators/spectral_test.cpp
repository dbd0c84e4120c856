// SPDX-License-Identifier: Apache-2.0
// Spectral against the definition of I_pi, at smooth lengths and primes.

#include <doctest/doctest.h>

#include <lorma/backend/eigen_cpu.hpp>
#include <lorma/inflation/cyclic_permutation.hpp>
#include <lorma/operators/dense.hpp>
#include <lorma/operators/spectral.hpp>
#include <vector>

#include "../support/random_matrices.hpp"

using namespace lorma;
using namespace lorma_tests;

namespace {

template <typename S>
using SpectralOp = Operator<Spectral, CyclicPermutation, EigenCpu, S>;

/// s sum_q B(i,q) sum_m A(q,m) y((i+m) mod n), entry by entry: P(i, j) = s (BA)(i, (j - i) mod n).
Matrix<double> definition(const Matrix<double>& B, const Matrix<double>& A, double s) {
  const Index n = B.rows();
  const Matrix<double> M = s * B * A;
  Matrix<double> P(n, n);
  for (Index i = 0; i < n; ++i) {
    for (Index j = 0; j < n; ++j) P(i, j) = M(i, (j - i + n) % n);
  }
  return P;
}

/// dB(i,q) = s sum_m A(q,m) D(i,m), dA(q,m) = s sum_i B(i,q) D(i,m), D(i,m) = (G Y^T)(i, i + m).
Matrix<double> turned_back(const Matrix<double>& dP) {
  const Index n = dP.rows();
  Matrix<double> D(n, n);
  for (Index i = 0; i < n; ++i) {
    for (Index m = 0; m < n; ++m) D(i, m) = dP(i, (i + m) % n);
  }
  return D;
}

}  // namespace

TEST_CASE_TEMPLATE("Spectral is the definition: apply, adjoint, gradients", S, float, double) {
  for (const Index n : {1, 2, 3, 5, 8, 12, 11, 43, 64, 96, 97, 210, 384}) {
    for (const Index r : {1, 3, 17}) {
      for (const Index b : {0, 1, 2, 5, 33, 70}) {
        if (n > 100 && (r == 17 || b == 70)) continue;
        CAPTURE(n);
        CAPTURE(r);
        CAPTURE(b);
        const Matrix<S> B = random_matrix<S>(n, r, 1);
        const Matrix<S> A = random_matrix<S>(r, n, 2);
        const Matrix<S> Y = random_matrix<S>(n, b, 3);
        const Matrix<S> G = random_matrix<S>(n, b, 4);
        const S s = S(0.5);
        const Factors<S> f{view_of(B), view_of(A), s};
        const Matrix<double> Bd = B.template cast<double>();
        const Matrix<double> Ad = A.template cast<double>();
        const Matrix<double> P = definition(Bd, Ad, 0.5);
        const Matrix<double> dP = G.template cast<double>() * Y.template cast<double>().transpose();
        const Matrix<double> D = turned_back(dP);

        Workspace workspace;
        const auto frame = workspace.frame();
        const SpectralOp<S> op(workspace, f);
        const double log_n = 2.0 + std::log2(static_cast<double>(n) + 1.0);
        const double size = 0.5 * norm(A) * norm(B);
        const double unit = 4.0 * eps<S> * log_n * static_cast<double>(r);
        Matrix<S> out = Matrix<S>::Zero(n, b);
        std::vector<S> kept(static_cast<std::size_t>(SpectralOp<S>::kept_size(n, r, b)) + 1);
        op.apply(workspace, view_of(std::as_const(Y)), view_of(out), kept.data());
        CHECK(distance(out, P * Y.template cast<double>()) <= unit * size * norm(Y));
        op.apply_adjoint(workspace, view_of(std::as_const(G)), view_of(out));
        CHECK(distance(out, P.transpose() * G.template cast<double>()) <= unit * size * norm(G));

        for (const bool use_kept : {false, true}) {
          Matrix<S> dY(n, b), dA(r, n), dB(n, r);
          op.vjp(workspace, view_of(std::as_const(G)), view_of(std::as_const(Y)),
                 use_kept ? kept.data() : nullptr, view_of(dY), view_of(dA), view_of(dB), false);
          const double bound = unit * 0.5 * norm(G) * norm(Y) * 4.0;
          CHECK(distance(dY, P.transpose() * G.template cast<double>()) <= unit * size * norm(G));
          CHECK(distance(dA, 0.5 * Bd.transpose() * D) <= bound * norm(B));
          CHECK(distance(dB, 0.5 * D * Ad.transpose()) <= bound * norm(A));
        }
      }
    }
  }
}

TEST_CASE("in place, row-major and in blocks: the same numbers to the bit") {
  constexpr Index n = 24, r = 3, b = 37;
  const Matrix<float> B = random_matrix<float>(n, r, 1);
  const Matrix<float> A = random_matrix<float>(r, n, 2);
  const Matrix<float> Y = random_matrix<float>(n, b, 3);
  Workspace workspace;
  const auto frame = workspace.frame();
  const SpectralOp<float> op(workspace, {view_of(B), view_of(A), 1.0F});
  Matrix<float> expected(n, b);
  op.apply(workspace, view_of(Y), view_of(expected));
  Matrix<float> in_place = Y;
  op.apply(workspace, as_const(view_of(in_place)), view_of(in_place));
  CHECK(in_place == expected);
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> row = Y;
  op.apply(workspace, as_const(view_of(row)), view_of(row));
  CHECK(row == expected);
  Matrix<float> parent = Matrix<float>::Constant(n + 3, b + 2, 9.0F);
  auto block = parent.block(2, 1, n, b);
  op.apply(workspace, view_of(Y), view_of(block));
  CHECK(block == expected);
  block.setConstant(9.0F);
  CHECK((parent.array() == 9.0F).all());
}

TEST_CASE("at the widths of real models the error stays that of the transform") {
  for (const Index n : {768, 1024, 2048}) {
    const Matrix<double> B = random_matrix<double>(n, 2, 1);
    const Matrix<double> A = random_matrix<double>(2, n, 2);
    const Matrix<double> Y = random_matrix<double>(n, 3, 3);
    Workspace workspace;
    const auto frame = workspace.frame();
    const Factors<double> f{view_of(B), view_of(A), 1.0};
    const SpectralOp<double> spectral(workspace, f);
    const Operator<Dense, CyclicPermutation, EigenCpu, double> dense(workspace, f);
    Matrix<double> a(n, 3), c(n, 3);
    spectral.apply(workspace, view_of(Y), view_of(a));
    dense.apply(workspace, view_of(Y), view_of(c));
    CHECK(distance(a, c) <= 1e-14 * norm(c));
    const Matrix<float> Bf = B.cast<float>();
    const Matrix<float> Af = A.cast<float>();
    const Matrix<float> Yf = Y.cast<float>();
    const SpectralOp<float> single(workspace, {view_of(Bf), view_of(Af), 1.0F});
    Matrix<float> h(n, 3);
    single.apply(workspace, view_of(Yf), view_of(h));
    const Matrix<double> exact =
        definition(Bf.cast<double>(), Af.cast<double>(), 1.0) * Yf.cast<double>();
    CHECK(distance(h, exact) <= 1e-6 * norm(exact));
  }
}
