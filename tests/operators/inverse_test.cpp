// SPDX-License-Identifier: Apache-2.0
// The structure of I + s B A against dense decompositions; P^-1 as an operator.

#include <doctest/doctest.h>

#include <lorma/adapter/adapter.hpp>
#include <lorma/operators/inverse.hpp>

#include "../support/random_matrices.hpp"
#include "../support/references.hpp"
#include "../support/shifted.hpp"

using lorma::Factors;
using lorma::Identity;
using lorma::Index;
using lorma::Inverse;
using lorma::ShiftedCore;
using lorma::view_of;
using lorma::Workspace;
using namespace lorma_tests;

namespace {

struct Pair {
  Matrix<double> B, A;
  double scale;
  Factors<double> factors() const { return {view_of(B), view_of(A), scale}; }
  Matrix<double> P(double c) const {
    return c * Matrix<double>::Identity(B.rows(), B.rows()) + scale * B * A;
  }
};

Pair random_pair(Index n, Index r, double scale = 0.5) {
  return {random_matrix<double>(n, r, 1), random_matrix<double>(r, n, 2), scale};
}

template <typename I>
constexpr bool is_plain = false;
template <lorma::AddsIdentity I>
constexpr bool is_plain<I> = lorma::identity_multiple<I> == 0.0;

}  // namespace

TEST_CASE("a matrix by LU: its inverse, its norms, its condition; none where it has none") {
  using lorma::detail::LuInverse;
  for (const Index n : {1, 2, 7, 64, 65, 130}) {  // blocks of 64 rows
    CAPTURE(n);
    Matrix<double> turned = lorma_tests::random_matrix<double>(n, n, 1);
    turned.diagonal().array() += 2.0 * std::sqrt(static_cast<double>(n));
    const Matrix<double> P = turned.transpose();
    const LuInverse<double> lu(lorma::as_const(lorma::view_of(turned)).transposed());
    const Eigen::VectorXd sigma = lorma_tests::reference_singular_values(P);
    const double rounding = 20.0 * double(n) * eps<double>;
    CHECK(lu.largest() >= sigma(0) * (1.0 - rounding));
    CHECK(lu.largest() <= 1.16 * sigma(0));
    CHECK(lu.frobenius() == doctest::Approx(P.norm()));
    const double exact = sigma(0) / sigma(n - 1);
    CHECK(lu.condition() >= exact * (1.0 - rounding * exact));
    CHECK(lu.condition() <= exact * (4.0 / 3.0 + rounding * exact));
    CHECK((lu.matrix() * P - Matrix<double>::Identity(n, n)).norm() <= rounding * exact);
    Matrix<double> X = P.transpose();
    Workspace workspace;
    lu.solve_adjoint(workspace, lorma::view_of(X));
    CHECK((X - Matrix<double>::Identity(n, n)).norm() <= rounding * exact);
  }
  CHECK(std::isinf(LuInverse<double>().condition()));
  for (const double broken :
       {0.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const Matrix<double> P = Matrix<double>::Constant(3, 3, broken);
    CHECK(std::isinf(LuInverse<double>(lorma::view_of(P).transposed()).condition()));
  }
}

TEST_CASE("ShiftedCore is the dense answer without the dense matrix") {
  for (const auto& sizes :
       {std::pair<Index, Index>{1, 1}, {6, 2}, {6, 3}, {6, 4}, {5, 9}, {40, 8}}) {
    for (const double c : {1.0, 2.0, -0.5, 0.0}) {
      const Index n = std::get<0>(sizes);
      const Index r = std::get<1>(sizes);
      CAPTURE(n);
      CAPTURE(r);
      CAPTURE(c);
      const Pair pair = random_pair(n, r);
      const Matrix<double> P = pair.P(c);
      const ShiftedCore core = lorma::shifted_core(pair.factors(), c);
      const Eigen::VectorXd sigma = lorma_tests::reference_singular_values(P);
      const double bound = 100 * double(n) * eps<double> * (1 + norm(P));
      CHECK(std::abs(core.largest - sigma(0)) <= bound);
      CHECK(std::abs(core.smallest - sigma(n - 1)) <= bound);
      CHECK(core.dim == n);
      CHECK(core.singular_values.size() == std::min(n, 2 * r));
      // The same multiset once the |c| are added.
      Eigen::VectorXd all = Eigen::VectorXd::Constant(n, std::abs(c));
      all.head(core.singular_values.size()) = core.singular_values;
      std::sort(all.data(), all.data() + n, std::greater<>());
      CHECK((all - sigma).cwiseAbs().maxCoeff() <= bound);
      if (c == 0.0 && r < n) {
        CHECK(core.determinant.sign == 0.0);
        CHECK(core.condition() == std::numeric_limits<double>::infinity());
        continue;
      }
      const double determinant = P.determinant();
      CHECK(std::abs(core.determinant.sign * std::exp(core.determinant.log_abs) - determinant) <=
            1e3 * double(n) * eps<double> * std::abs(determinant) * core.condition());
      const Matrix<double>& Q = core.basis;
      const Index m = Q.cols();
      const Matrix<double> I = Matrix<double>::Identity(n, n);
      CHECK(distance(Q.transpose() * Q, Matrix<double>::Identity(m, m)) <= bound);
      if (c == 0.0) continue;
      const Matrix<double> inverse = Q * core.inverse * Q.transpose() + (I - Q * Q.transpose()) / c;
      CHECK(distance(P * inverse, I) <= bound * core.condition());
    }
  }
}

TEST_CASE("an exactly singular P has determinant sign 0 or a condition beyond eps") {
  // B = -e_0, A = e_0^T: P = I - e_0 e_0^T.
  Pair pair{-Matrix<double>::Identity(7, 1), Matrix<double>::Identity(1, 7), 1.0};
  const ShiftedCore core = lorma::shifted_core(pair.factors(), 1.0);
  CHECK(core.smallest <= 10 * eps<double>);
  CHECK(core.condition() >= 0.1 / eps<double>);
  CHECK(std::abs(core.largest - 1.0) <= 10 * eps<double>);
}

TEST_CASE("the condition does not depend on how B and A are scaled against each other") {
  const Pair pair = random_pair(20, 3);
  const double condition = lorma::shifted_core(pair.factors(), 1.0).condition();
  for (const double t : {1e-8, 1e8}) {
    const Pair other{pair.B * t, pair.A / t, pair.scale};
    CHECK(std::abs(lorma::shifted_core(other.factors(), 1.0).condition() / condition - 1) <=
          1e3 * eps<double> * condition);
  }
}

TEST_CASE("factors as large as double holds neither overflow nor vanish") {
  const Pair pair = random_pair(20, 3);
  const double condition = lorma::shifted_core(pair.factors(), 1.0).condition();
  for (const double t : {0x1p-1000, 0x1p600, 0x1p1000}) {
    const Pair other{pair.B * t, pair.A / t, pair.scale};
    CHECK(lorma::shifted_core(other.factors(), 1.0).condition() == condition);
  }
}

TEST_CASE("the size of the terms is that of what is added up, however factors cancel") {
  Pair pair = random_pair(20, 1);
  const double one = lorma::shifted_core(pair.factors(), 1.0).terms;
  CHECK(std::abs(one - (1.0 + pair.scale * norm(pair.B) * norm(pair.A))) <= 1e-14 * one);
  Pair cancelling{Matrix<double>(20, 2), Matrix<double>(2, 20), 1.0};
  cancelling.B << 1e6 * pair.B, 1e6 * pair.B;
  cancelling.A << pair.A, -pair.A;
  const ShiftedCore core = lorma::shifted_core(cancelling.factors(), 1.0);
  CHECK(core.terms >= 1e6 * norm(pair.B) * norm(pair.A));
  CHECK(core.condition() <= 1.0 + 1e-6 * core.terms);
}

TEST_CASE("factors that do not fit together are named") {
  const Matrix<double> B(5, 2);
  const Matrix<double> A(3, 5);
  CHECK_THROWS_WITH_AS(lorma::shifted_core(Factors<double>{view_of(B), view_of(A), 1.0}, 1.0),
                       doctest::Contains("shifted_core"), lorma::ShapeError);
}

TEST_CASE_TEMPLATE("Inverse undoes the multiplier from either side, in place too", I, Identity,
                   lorma::CyclicPermutation, lorma::None, Shifted<1>, Shifted<2>, Shifted<-3>,
                   Shifted<0>) {
  for (const auto& sizes : {std::pair<Index, Index>{1, 1}, {6, 6}, {12, 3}, {17, 20}, {43, 2}}) {
    const Index n = std::get<0>(sizes);
    const Index r = std::get<1>(sizes);
    CAPTURE(n);
    const Pair pair = random_pair(n, r);
    const Inverse<I, double> inverse(pair.factors());
    Workspace workspace;
    const auto frame = workspace.frame();
    const lorma::Operator<lorma::Dense, I, lorma::EigenCpu, double> P(workspace, pair.factors());
    if (is_plain<I> && r < n) {
      CHECK(inverse.round_trip().condition == std::numeric_limits<double>::infinity());
      continue;
    }
    const Matrix<double> X = random_matrix<double>(n, 5, 3);
    Matrix<double> Y(n, 5);
    P.apply(workspace, view_of(X), view_of(Y));
    const double bound = inverse.round_trip().relative_error(eps<double>) * norm(X);
    Matrix<double> back(n, 5);
    inverse.apply(workspace, view_of(std::as_const(Y)), view_of(back));
    CHECK(distance(back, X) <= bound);
    inverse.apply(workspace, view_of(std::as_const(Y)), view_of(Y));
    CHECK(distance(Y, X) <= bound);
    P.apply_adjoint(workspace, view_of(X), view_of(Y));
    inverse.apply_adjoint(workspace, view_of(std::as_const(Y)), view_of(Y));
    CHECK(distance(Y, X) <= bound);
  }
}

TEST_CASE_TEMPLATE("the condition number is that of the 2-norm, or a third more", I,
                   lorma::CyclicPermutation, Identity, Shifted<2>, Shifted<0>) {
  for (const Index n : {1, 2, 5, 30, 90}) {
    for (const double t : {1.0, 1e-3, 1e3}) {
      CAPTURE(n);
      Pair pair = random_pair(n, n);
      pair.B.col(0) *= t;
      Workspace workspace;
      const auto frame = workspace.frame();
      const lorma::Operator<lorma::Dense, I, lorma::EigenCpu, double> P(workspace, pair.factors());
      const Eigen::VectorXd sigma =
          lorma_tests::reference_singular_values(lorma::eigen_map<Eigen::RowMajor>(P.matrix()));
      const double exact = sigma(0) / sigma(n - 1);
      const double said = Inverse<I, double>(pair.factors()).round_trip().condition;
      CHECK(said >= exact * (1 - 1e3 * eps<double> * exact));
      CHECK(said <= exact * (4.0 / 3.0 + 1e3 * eps<double> * exact));
    }
  }
}

TEST_CASE("P = I - 1 1^T / n is singular, whatever rounding makes of it") {
  for (const Index n : {1, 7, 100, 512, 1000}) {
    Pair pair{Matrix<double>::Ones(n, 1), Matrix<double>::Constant(1, n, -1.0 / double(n)), 1.0};
    CHECK_FALSE(Inverse<Identity, double>(pair.factors()).round_trip().loss(eps<double>) < 1.0);
  }
}

TEST_CASE_TEMPLATE("P = 0 is singular", I, lorma::CyclicPermutation, lorma::None, Shifted<0>) {
  for (const Index n : {1, 4}) {
    const Pair pair{Matrix<double>::Zero(n, n), Matrix<double>::Zero(n, n), 1.0};
    CHECK(Inverse<I, double>(pair.factors()).round_trip().loss(eps<double>) ==
          std::numeric_limits<double>::infinity());
  }
}

template <typename I>
concept InvertsByFactorization = requires(const Inverse<I, double>& inverse) {
  inverse.matrix();
};
static_assert(InvertsByFactorization<lorma::CyclicPermutation> &&
              InvertsByFactorization<Shifted<0>>);
static_assert(!InvertsByFactorization<Shifted<1>> && !InvertsByFactorization<Shifted<2>>);

TEST_CASE_TEMPLATE("a user's own c I + M is unmerged by its structure", I, Shifted<1>, Shifted<2>,
                   Shifted<-3>) {
  constexpr Index n = 30, k = 7;
  lorma::Adapter<double, I> pre(n, 4, 2.0);
  lorma::Adapter<double, I, lorma::Auto, lorma::Post> post(k, 3, 1.5);
  for (const auto& [B, A] : {std::pair(&pre.B(), &pre.A()), std::pair(&post.B(), &post.A())}) {
    *B = random_matrix<double>(B->rows(), B->cols(), 5);
    *A = random_matrix<double>(A->rows(), A->cols(), 6);
  }
  const Matrix<double> W0 = random_matrix<double>(n, k, 7);
  Matrix<double> W = W0;
  pre.merge_in_place(W);
  post.merge_in_place(W);
  post.unmerge_in_place(W);
  pre.unmerge_in_place(W);
  const double condition = lorma::shifted_core(pre.factors(), I::adds_identity).condition() *
                           lorma::shifted_core(post.factors(), I::adds_identity).condition();
  CHECK(distance(W, W0) <= 1e2 * n * eps<double> * condition * norm(W0));
}

TEST_CASE("a user's own inflation of c = 0 has no inverse below full rank") {
  lorma::Adapter<double, Shifted<0>> adapter(6, 2, 1.0);
  adapter.B() = random_matrix<double>(6, 2, 1);
  adapter.A() = random_matrix<double>(2, 6, 2);
  Matrix<double> W = random_matrix<double>(6, 3, 3);
  CHECK_THROWS_WITH_AS(adapter.unmerge_in_place(W), doctest::Contains("infinity"),
                       lorma::RankDeficient);
}
