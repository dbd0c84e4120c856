// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <lorma/analysis/extreme_singular_values.hpp>

#include "../support/random_matrices.hpp"
#include "../support/shifted.hpp"

using namespace lorma;
using namespace lorma::analysis;
using namespace lorma_tests;

TEST_CASE_TEMPLATE("both ends of the spectrum without the matrix", A,
                   Adapter<double, CyclicPermutation>, Adapter<float, CyclicPermutation>,
                   Adapter<double, Identity>) {
  using S = typename A::Scalar;
  for (const Index n : {1, 3, 4, 24, 120}) {
    CAPTURE(n);
    A adapter(n, 3, S(1));
    std::mt19937_64 urbg(1);
    adapter.initialize(urbg);
    adapter.A() += S(0.2) * random_matrix<S>(3, n, 2);
    adapter.B() += S(0.2) * random_matrix<S>(n, 3, 3);
    const Eigen::VectorXd sigma = singular_values(adapter.inflated());
    const ExtremeSingularValues ends = extreme_singular_values(adapter);
    CHECK(ends.converged);
    CHECK(ends.largest == doctest::Approx(sigma(0)).epsilon(1e2 * eps<S>));
    CHECK(ends.smallest == doctest::Approx(sigma(n - 1)).epsilon(std::max(1e-6, 1e3 * eps<S>)));
  }
}

TEST_CASE("what does not converge says so") {
  Adapter<double, CyclicPermutation> adapter(200, 2, 1.0);
  adapter.A() = random_matrix<double>(2, 200, 1);
  adapter.B() = random_matrix<double>(200, 2, 2);
  CHECK_FALSE(extreme_singular_values(adapter, 1e-14, 1).converged);
  adapter.A()(0, 0) = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(extreme_singular_values(adapter), NonFinite);
}

TEST_CASE_TEMPLATE("c I + M: both ends by the structure, however clustered the others are", I,
                   Identity, Shifted<1>) {
  for (const Index n : {20, 64, 300}) {
    for (const double t : {1e-6, 1e-3, 0.5, 30.0}) {
      CAPTURE(n);
      CAPTURE(t);
      const Matrix<double> u = random_matrix<double>(n, 1, 1).normalized();
      Adapter<double, I> adapter(n, 1, 1.0);
      adapter.B() = u;
      adapter.A() = (t - 1.0) * u.transpose();
      const ExtremeSingularValues ends = extreme_singular_values(adapter);
      CHECK(ends.converged);
      CHECK(ends.largest == doctest::Approx(std::max(1.0, t)).epsilon(1e-12));
      CHECK(ends.smallest == doctest::Approx(std::min(1.0, t)).epsilon(1e-9));
      CHECK(ends.largest <= ends.largest_at_most);
      CHECK(ends.smallest >= ends.smallest_at_least);
    }
  }
}

TEST_CASE("what is not proved is not converged") {
  Adapter<double, CyclicPermutation> adapter(120, 3, 1.0);
  adapter.A() = random_matrix<double>(3, 120, 1);
  adapter.B() = random_matrix<double>(120, 3, 2);
  const ExtremeSingularValues proved = extreme_singular_values(adapter);
  CHECK(proved.converged);
  CHECK(proved.largest_at_most >= proved.largest);
  CHECK(proved.largest_at_most <= 1.001 * proved.largest);
  CHECK(proved.smallest_at_least >= 0.999 * proved.smallest);
  const ExtremeSingularValues found = extreme_singular_values(adapter, 1e-10, 1000, 100);
  CHECK_FALSE(found.converged);
  CHECK(found.largest == proved.largest);
  CHECK(found.smallest_at_least == 0.0);
  CHECK_THROWS_AS(extreme_singular_values(adapter, 0.0), Error);
  CHECK_THROWS_AS(extreme_singular_values(adapter, 1e-10, 0), Error);
}

TEST_CASE("any sign and size of scale and factors") {
  const Matrix<double> B = random_matrix<double>(20, 2, 1);
  const Matrix<double> A = random_matrix<double>(2, 20, 2);
  const auto ends = [](const Matrix<double>& b, const Matrix<double>& a, double scale) {
    return extreme_singular_values(AdapterView<double, CyclicPermutation>(b, a, scale));
  };
  const ExtremeSingularValues plain = ends(B, A, 0.5);
  CHECK(ends(B, A, -0.5).largest == doctest::Approx(plain.largest));
  const ExtremeSingularValues far = ends(0x1p-660 * B, 0x1p660 * A, 0.5);
  CHECK(far.smallest == doctest::Approx(plain.smallest));
  const ExtremeSingularValues huge = ends(0x1p660 * B, A, 0.5);
  CHECK(huge.largest == doctest::Approx(std::ldexp(plain.largest, 660)));
  CHECK(huge.converged == plain.converged);
  const ExtremeSingularValues zero = ends(B, 0.0 * A, 0.5);
  CHECK(zero.largest == 0.0);
  CHECK(zero.smallest == 0.0);
  // By iteration: a turn of diag(b), whose ends stand alone.
  Matrix<double> b = Eigen::VectorXd::LinSpaced(70, 1.0, 2.0);
  b(3) = 8.0;
  b(50) = 0.125;
  Matrix<double> unit = Matrix<double>::Zero(1, 70);
  unit(0, 0) = 1.0;
  for (const double size : {1.0, 0x1p660}) {
    const ExtremeSingularValues diagonal = ends(size * b, unit, -0.5);
    CHECK(diagonal.converged);
    CHECK(diagonal.largest == doctest::Approx(4.0 * size));
    CHECK(diagonal.smallest == doctest::Approx(0.0625 * size));
  }
  AdapterView<double, Identity> turned(B, A, -0.5);
  CHECK(extreme_singular_values(turned).largest ==
        doctest::Approx(singular_values(turned.inflated())(0)));
}

TEST_CASE("a sigma_n that comes out as 0 is proved only where the shape of the factors says so") {
  const auto ends = [](auto inflation, const Matrix<double>& B, const Matrix<double>& A) {
    return extreme_singular_values(AdapterView<double, decltype(inflation)>(B, A, 1.0));
  };
  const Matrix<double> B = Vector<double>::Unit(4, 0);
  const Matrix<double> A = B.transpose();
  const ExtremeSingularValues projection = ends(Identity{}, B, -A);
  CHECK(projection.smallest == 0.0);
  CHECK_FALSE(projection.converged);
  const ExtremeSingularValues low = ends(None{}, B, A);
  CHECK(low.smallest == 0.0);
  CHECK(low.converged);
  // All rows of P are equal.
  const ExtremeSingularValues ones =
      ends(CyclicPermutation{}, Matrix<double>::Ones(3, 1), Matrix<double>::Ones(1, 3));
  CHECK(ones.smallest <= 1e-15);
  CHECK_FALSE(ones.converged);
  CHECK(ends(CyclicPermutation{}, 0.0 * B, A).converged);
}

TEST_CASE(
    "factors that cancel: what was found lies within the spectrum of a P that is small beside "
    "them") {
  for (const double left : {1e-3, 1e-8, 1e-12}) {
    CAPTURE(left);
    Matrix<double> B = random_matrix<double>(72, 2, 1);
    Matrix<double> A = random_matrix<double>(2, 72, 2);
    B.col(1) = -B.col(0) * (1.0 + left);
    A.row(1) = A.row(0);
    const AdapterView<double, CyclicPermutation> adapter(B, A, 1.0);
    const Eigen::VectorXd sigma = singular_values(adapter.inflated());
    const double rounding = 100.0 * 0x1p-52 * B.norm() * A.norm();
    const ExtremeSingularValues ends = extreme_singular_values(adapter, 1e-8, 10);
    CHECK(std::abs(ends.largest - sigma(0)) <= 1e-3 * sigma(0) + rounding);
    CHECK(ends.largest <= sigma(0) + rounding);
    CHECK(ends.smallest >= sigma(71) - rounding);
    CHECK(ends.largest_at_most >= sigma(0) - rounding);
  }
}
