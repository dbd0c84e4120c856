// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <lorma/analysis/extreme_singular_values.hpp>

#include "../support/random_matrices.hpp"

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
