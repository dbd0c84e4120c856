// SPDX-License-Identifier: Apache-2.0
// The first eigenvalue by Lanczos iteration: from below, whatever the size of the operator.

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <lorma/analysis/lanczos.hpp>

#include "../support/random_matrices.hpp"
#include "../support/references.hpp"

using namespace lorma;
using namespace lorma_tests;
using analysis::detail::first_ritz_pair;
using analysis::detail::RitzPair;

namespace {

RitzPair<double> first_of(const Matrix<double>& G, double tolerance = 1e-10, Index most = 300) {
  return first_ritz_pair<double>(
      G.rows(), [&](const auto& v) { return Vector<double>(G * v); }, tolerance, most);
}

Matrix<double> gram(Index p, unsigned seed) {
  const Matrix<double> M = random_matrix<double>(p, 2 * p, seed);
  return M * M.transpose();
}

}  // namespace

TEST_CASE("the value is the first eigenvalue, and the vector its own") {
  for (const Index p : {1, 2, 3, 5, 8, 40, 150}) {
    CAPTURE(p);
    const Matrix<double> G = gram(p, 1);
    const double first = lorma_tests::reference_eigenvalues(G)(p - 1);
    const RitzPair<double> found = first_of(G);
    CHECK(found.has_settled);
    CHECK(std::abs(found.value - first) <= 1e-8 * first);
    CHECK(std::abs(found.vector.norm() - 1.0) <= 1e-13);
    CHECK(std::abs(found.vector.dot(G * found.vector) - found.value) <= 1e-12 * first);
  }
}

TEST_CASE("after few steps it is not settled, and not above") {
  const Matrix<double> G = gram(150, 2);
  const double first = lorma_tests::reference_eigenvalues(G)(149);
  const RitzPair<double> found = first_of(G, 1e-14, 6);
  CHECK_FALSE(found.has_settled);
  CHECK(found.value <= first * (1.0 + 1e-14));
  CHECK(found.value >= 0.3 * first);
}

TEST_CASE("a power of two multiplies the value by itself, to the bit") {
  const Matrix<double> G = gram(60, 3);
  const RitzPair<double> plain = first_of(G);
  for (const int e : {-400, -101, -40, -1, 1, 40, 101, 400}) {
    CAPTURE(e);
    const RitzPair<double> scaled = first_of(std::ldexp(1.0, e) * G);
    CHECK(scaled.value == std::ldexp(plain.value, e));
    CHECK(scaled.vector == plain.vector);
    CHECK(scaled.has_settled);
  }
}

TEST_CASE("operators that are zero, of rank 1, or no numbers") {
  const RitzPair<double> zero = first_of(Matrix<double>::Zero(20, 20));
  CHECK(zero.has_settled);
  CHECK(zero.value == 0.0);
  const Matrix<double> u = random_matrix<double>(20, 1, 4);
  CHECK(first_of(u * u.transpose()).value == doctest::Approx(u.squaredNorm()).epsilon(1e-13));
  Matrix<double> broken = gram(20, 5);
  broken(3, 3) = std::numeric_limits<double>::quiet_NaN();
  CHECK_FALSE(first_of(broken).has_settled);
  // Whichever product is the first that overflows.
  for (const Index k : {0, 1, 2, 3, 6}) {
    for (const double bad :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      CAPTURE(k);
      CAPTURE(bad);
      Index products = 0;
      const Matrix<double> G = gram(20, 6);
      const auto apply = [&](const auto& v) {
        Vector<double> w = G * v;
        if (products++ == k) w(1) = bad;
        return w;
      };
      CHECK_FALSE(first_ritz_pair<double>(20, apply, 1e-10, 300).has_settled);
    }
  }
}
