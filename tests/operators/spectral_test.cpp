// SPDX-License-Identifier: Apache-2.0
// Spectral against the definition of I_pi, at smooth lengths and primes.

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
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

TEST_CASE_TEMPLATE("column j follows from column j alone, to the bit", S, float, double) {
  using Limits = std::numeric_limits<S>;
  for (const Index n : {1, 7, 24, 43, 96, 384}) {
    CAPTURE(n);
    constexpr Index r = 3, b = 9;
    const Matrix<S> B = random_matrix<S>(n, r, 1);
    const Matrix<S> A = random_matrix<S>(r, n, 2);
    Matrix<S> Y = random_matrix<S>(n, b, 3);
    Matrix<S> G = random_matrix<S>(n, b, 4);
    for (Matrix<S>* X : {&Y, &G}) {
      (*X)(0, 1) = Limits::quiet_NaN();
      (*X)(n - 1, 2) = Limits::infinity();
      X->col(4) *= S(1e30);
      X->col(5) *= S(1e-30);
      (*X)(n / 2, 6) = S(1e10);
      X->col(7).setZero();
    }
    Workspace workspace;
    const auto frame = workspace.frame();
    const SpectralOp<S> op(workspace, {view_of(B), view_of(A), S(0.5)});
    Matrix<S> H(n, b), dY(n, b), dY_of_vjp(n, b), dA(r, n), dB(n, r);
    op.apply(workspace, view_of(std::as_const(Y)), view_of(H));
    op.apply_adjoint(workspace, view_of(std::as_const(G)), view_of(dY));
    op.vjp(workspace, view_of(std::as_const(G)), view_of(std::as_const(Y)), nullptr,
           view_of(dY_of_vjp), view_of(dA), view_of(dB), false);
    for (Index j = 0; j < b; ++j) {
      CAPTURE(j);
      const Matrix<S> y = Y.col(j);
      const Matrix<S> g = G.col(j);
      Matrix<S> h(n, 1), dy(n, 1);
      op.apply(workspace, view_of(y), view_of(h));
      op.apply_adjoint(workspace, view_of(g), view_of(dy));
      if (j == 1 || j == 2) {
        CHECK(!h.allFinite());
        CHECK(!H.col(j).allFinite());
        CHECK(!dY.col(j).allFinite());
        continue;
      }
      CHECK(H.col(j) == h);
      CHECK(dY.col(j) == dy);
      CHECK(dY_of_vjp.col(j) == dy);
    }
  }
}

TEST_CASE("columns of all sizes on any number of threads: the same gradients to the bit") {
  constexpr Index n = 96, r = 3, b = 101;
  const Matrix<float> B = random_matrix<float>(n, r, 1);
  const Matrix<float> A = random_matrix<float>(r, n, 2);
  Matrix<float> Y = random_matrix<float>(n, b, 3);
  Matrix<float> G = random_matrix<float>(n, b, 4);
  for (Index j = 0; j < b; ++j) {
    Y.col(j) *= std::ldexp(1.0F, int(j * 37 % 80) - 40);
    G.col(j) *= std::ldexp(1.0F, int(j * 23 % 60) - 30);
  }
  Matrix<float> dA_of_one, dB_of_one, dY_of_one;
  for (const Index threads : {1, 2, 3, 7}) {
    Workspace workspace;
    workspace.set_executor(Executor(threads, [](Index count, IndexedTask task) {
      for (Index i = count; i-- > 0;) task(i);
    }));
    const auto frame = workspace.frame();
    const SpectralOp<float> op(workspace, {view_of(B), view_of(A), 0.5F});
    Matrix<float> dY(n, b), dA(r, n), dB(n, r);
    op.vjp(workspace, view_of(std::as_const(G)), view_of(std::as_const(Y)), nullptr, view_of(dY),
           view_of(dA), view_of(dB), false);
    if (threads == 1) {
      dY_of_one = dY;
      dA_of_one = dA;
      dB_of_one = dB;
      // Gradients are accurate by the largest products.
      const Matrix<double> D = turned_back(G.cast<double>() * Y.cast<double>().transpose());
      double size = 0;
      for (Index j = 0; j < b; ++j) size += norm(Y.col(j)) * norm(G.col(j));
      CHECK(distance(dA, 0.5 * B.cast<double>().transpose() * D) <=
            100 * eps<float> * size * norm(B));
      CHECK(distance(dB, 0.5 * D * A.cast<double>().transpose()) <=
            100 * eps<float> * size * norm(A));
    }
    CHECK(dY == dY_of_one);
    CHECK(dA == dA_of_one);
    CHECK(dB == dB_of_one);
  }
}

TEST_CASE_TEMPLATE("a power of two goes through to the bit, from the smallest to the largest", S,
                   float, double) {
  constexpr int top = std::numeric_limits<S>::max_exponent;
  for (const Index n : {5, 48, 96}) {
    constexpr Index r = 2, b = 5;
    const Matrix<S> B = random_matrix<S>(n, r, 1);
    const Matrix<S> A = random_matrix<S>(r, n, 2);
    const Matrix<S> Y = random_matrix<S>(n, b, 3);
    const Matrix<S> G = random_matrix<S>(n, b, 4);
    struct Results {
      Matrix<S> H, dY, dA, dB;
    };
    const auto results = [&](int e_B, int e_A, int e_Y, int e_G) {
      const auto times = [](const Matrix<S>& x, int e) -> Matrix<S> {
        return x.unaryExpr([e](S v) { return std::ldexp(v, e); });
      };
      const Matrix<S> Bs = times(B, e_B), As = times(A, e_A), Ys = times(Y, e_Y),
                      Gs = times(G, e_G);
      Workspace workspace;
      const auto frame = workspace.frame();
      const SpectralOp<S> op(workspace, {view_of(Bs), view_of(As), S(0.7)});
      Results x{Matrix<S>(n, b), Matrix<S>(n, b), Matrix<S>(r, n), Matrix<S>(n, r)};
      op.apply(workspace, view_of(Ys), view_of(x.H));
      op.vjp(workspace, view_of(Gs), view_of(Ys), nullptr, view_of(x.dY), view_of(x.dA),
             view_of(x.dB), false);
      x.H = times(x.H, -e_B - e_A - e_Y);
      x.dY = times(x.dY, -e_B - e_A - e_G);
      x.dA = times(x.dA, -e_B - e_Y - e_G);
      x.dB = times(x.dB, -e_A - e_Y - e_G);
      return x;
    };
    const Results plain = results(0, 0, 0, 0);
    const int far = top - 12;
    const int half = top / 2 - 12;
    struct Powers {
      int B, A, Y, G;
    };
    for (const Powers& e : {Powers{0, 0, half, half},
                            {0, 0, -half, -half},
                            {0, 0, far, -far},
                            {0, 0, -far, far},
                            {far, -far, 0, 0},
                            {-far, far, 0, 0},
                            {half, half, -half, -half},
                            {-half, -half, half, half}}) {
      const Results scaled = results(e.B, e.A, e.Y, e.G);
      const auto in_range = [](int power) { return std::abs(power) < top - 10; };
      if (in_range(e.B + e.A + e.Y)) CHECK(scaled.H == plain.H);
      if (in_range(e.B + e.A + e.G)) CHECK(scaled.dY == plain.dY);
      if (in_range(e.B + e.Y + e.G)) CHECK(scaled.dA == plain.dA);
      if (in_range(e.A + e.Y + e.G)) CHECK(scaled.dB == plain.dB);
    }
  }
}

TEST_CASE_TEMPLATE("entries near the largest number and denormal ones", S, float, double) {
  // P = I / 2: whatever Y holds comes out halved.
  for (const Index n : {6, 96, 384}) {
    Matrix<S> B = Matrix<S>::Zero(n, 2), A = Matrix<S>::Zero(2, n);
    B.col(0).setConstant(S(0.5));
    A(0, 0) = S(1);
    Workspace workspace;
    const auto frame = workspace.frame();
    const SpectralOp<S> op(workspace, {view_of(B), view_of(A), S(1)});
    const S largest = std::numeric_limits<S>::max();
    const S smallest = std::numeric_limits<S>::denorm_min();
    Matrix<S> Y(n, 4);
    Y.col(0).setConstant(largest);
    Y.col(1) = random_matrix<S>(n, 1, 1) * largest;
    Y.col(2).setConstant(4096 * smallest);
    Y.col(3).setConstant(S(0));
    Matrix<S> H(n, 4);
    op.apply(workspace, view_of(std::as_const(Y)), view_of(H));
    CHECK(H.allFinite());
    for (Index j = 0; j < 4; ++j) {
      const double error = static_cast<double>(
          (H.col(j).template cast<long double>() - Y.col(j).template cast<long double>() / 2)
              .cwiseAbs()
              .maxCoeff() /
          std::max<long double>(Y.col(j).template cast<long double>().cwiseAbs().maxCoeff(),
                                std::numeric_limits<S>::min()));
      CHECK(error <= 16 * eps<S>);
    }
  }
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
