// SPDX-License-Identifier: Apache-2.0
// Ranks and ends of spectra without the spectrum; tall matrices a panel at a time.

#include <doctest/doctest.h>

#include <lorma/analysis/rank_summary.hpp>

#include "../support/random_matrices.hpp"
#include "../support/references.hpp"

using namespace lorma;
using namespace lorma_tests;

namespace {

/// m x n matrices with the same singular vectors.
class WithSpectrum {
 public:
  WithSpectrum(Index m, Index n, unsigned seed)
      : p_(std::min(m, n)),
        U_(orthonormal_columns(random_matrix<double>(m, p_, seed))),
        V_(orthonormal_columns(random_matrix<double>(n, p_, seed + 1))) {}

  /// With singular values from 1 down to 1 / condition, evenly in the logarithm.
  Matrix<double> with_condition(double condition) const {
    Eigen::VectorXd sigma(p_);
    for (Index i = 0; i < p_; ++i) {
      sigma(i) = std::pow(condition, -static_cast<double>(i) / static_cast<double>(p_ - 1));
    }
    return U_ * sigma.asDiagonal() * V_.transpose();
  }

 private:
  Index p_;
  Matrix<double> U_;
  Matrix<double> V_;
};

/// One m x n matrix of this condition.
Matrix<double> with_condition(Index m, Index n, double condition, unsigned seed) {
  return WithSpectrum(m, n, seed).with_condition(condition);
}

}  // namespace

TEST_CASE_TEMPLATE("a summary is what the whole spectrum says", T, float, Eigen::bfloat16, double) {
  for (const auto& size : {std::pair<Index, Index>{200, 120}, {120, 700}, {100, 100}, {40, 30}}) {
    const Index m = size.first;
    const Index n = size.second;
    const WithSpectrum matrices(m, n, 1);
    for (const double condition : {10.0, 1e3, 1e5, 1e9}) {
      CAPTURE(m);
      CAPTURE(condition);
      const Matrix<T> M = matrices.with_condition(condition).template cast<T>();
      const auto report = analysis::rank_report(M);
      const auto summary = analysis::rank_summary(M);
      CHECK(summary.rank == report.rank);
      CHECK(summary.rank_beyond_storage == report.rank_beyond_storage);
      CHECK(summary.largest == doctest::Approx(report.largest).epsilon(1e-4));
      CHECK(summary.smallest == doctest::Approx(report.smallest).epsilon(1e-4));
      CHECK(summary.stable_rank == doctest::Approx(report.stable_rank).epsilon(1e-4));
      CHECK(summary.tolerance == doctest::Approx(report.tolerance).epsilon(1e-2));
    }
  }
}

TEST_CASE("a deficient, a zero and an empty matrix; NaN is refused") {
  const Matrix<float> deficient =
      random_matrix<float>(150, 20, 1) * random_matrix<float>(20, 130, 2);
  CHECK(analysis::rank_summary(deficient).rank == 20);
  const auto zero = analysis::rank_summary(Matrix<float>(Matrix<float>::Zero(100, 120)));
  CHECK(zero.rank == 0);
  CHECK(zero.largest == 0.0);
  CHECK(zero.stable_rank == 0.0);
  CHECK(std::isinf(zero.condition));
  CHECK(analysis::rank_summary(Matrix<float>(0, 5)).rank == 0);
  for (const Index n : {Index(50), Index(100)}) {
    Matrix<float> bad = random_matrix<float>(400, n, 1);
    bad(399, 3) = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS_AS(analysis::rank_summary(bad), NonFinite);
  }
}

TEST_CASE("R of a matrix that comes in panels has its singular values and its row space") {
  for (const Index panel : {1, 7, 40, 200}) {
    const Matrix<double> M = with_condition(200, 20, 1e6, 3);
    analysis::TallTriangle<> triangle(20);
    for (Index i = 0; i < 200; i += panel) triangle.add(M.middleRows(i, std::min(panel, 200 - i)));
    const Matrix<double> R = triangle.upper();
    REQUIRE(R.rows() == 20);
    CHECK(R.isUpperTriangular(0.0));
    // |M|^2 is lost nowhere: R^T R = M^T M to rounding of a backward stable factorization.
    CHECK((R.transpose() * R - M.transpose() * M).norm() <= 200 * 0x1p-52 * M.squaredNorm());
    const Eigen::VectorXd sigma = analysis::singular_values(M);
    CHECK((analysis::singular_values(R) - sigma).norm() <= 200 * 0x1p-52 * sigma(0));
  }
  analysis::TallTriangle<> few(5);
  few.add(Matrix<double>::Ones(2, 5));
  CHECK(few.upper().rows() == 2);
}

TEST_CASE("rank and stable rank of a matrix that comes in panels, from its Gram matrix") {
  const Matrix<double> full = with_condition(900, 120, 1e3, 5);
  const Matrix<double> low =
      random_matrix<double>(900, 7, 1) * random_matrix<double>(7, 120, 2) + 1e-9 * full;
  for (const Matrix<double>& M : {full, low}) {
    analysis::TallGram<> gram(120);
    for (Index i = 0; i < 900; i += 250) gram.add(M.middleRows(i, std::min<Index>(250, 900 - i)));
    CHECK((gram.lower() - Matrix<double>((M.transpose() * M).triangularView<Eigen::Lower>()))
              .norm() <= 900 * 0x1p-52 * M.squaredNorm());
    const auto summary = analysis::rank_summary_of_gram<float>(gram.lower(), 900);
    const auto report =
        analysis::rank_report_from(analysis::singular_values(M), Matrix<float>::Zero(900, 120));
    REQUIRE(summary);
    CHECK(summary->rank == report.rank);
    CHECK(summary->largest == doctest::Approx(report.largest).epsilon(1e-7));
    CHECK(summary->stable_rank == doctest::Approx(report.stable_rank).epsilon(1e-7));
  }
}

TEST_CASE("singular values of tall and wide matrices, by panels") {
  const Matrix<float> tall = random_matrix<float>(500, 24, 5);
  const Matrix<float> wide = tall.transpose();
  const Eigen::VectorXd sigma = analysis::singular_values(tall);
  CHECK((analysis::singular_values_by_panels(tall) - sigma).norm() <= 500 * 0x1p-52 * sigma(0));
  CHECK((analysis::singular_values_by_panels(wide) - sigma).norm() <= 500 * 0x1p-52 * sigma(0));
}
