// SPDX-License-Identifier: Apache-2.0
// The extraction of tall weights by panels beside the one in memory.

#include <doctest/doctest.h>

#include <lorma/analysis/extract_by_panels.hpp>

#include "../support/random_matrices.hpp"

using namespace lorma;
using namespace lorma_tests;

namespace {

struct InMemory {
  const Matrix<double>& all;
  Index rows() const { return all.rows(); }
  Index cols() const { return all.cols(); }
  void read(Index first, Index count, Matrix<double>& out) const {
    out = all.middleRows(first, count);
  }
};

/// Both sides, for W0 of a rank and a change of another.
void compare(const Matrix<double>& W0, const Matrix<double>& D) {
  const Matrix<double> W = W0 + D;
  const InMemory before{W0}, after{W};
  const analysis::PanelExtraction<InMemory> found(before, after, 0x1p-52, [] {});
  CHECK(found.size() == doctest::Approx(D.norm()));
  const auto check = [&](auto side, const Matrix<double>& cut) {
    using Side = decltype(side);
    const analysis::Reach want = analysis::reach<Side>(W0, W);
    const analysis::Reach got = found.reach<Side>();
    CHECK(got.base_rank == want.base_rank);
    CHECK(got.reaches_all == want.reaches_all);
    CHECK(std::abs(got.unreachable - want.unreachable) <= 1e-9);
    for (const Index rank : {1, 3, 8}) {
      const auto dense = analysis::extract<Side>(W0, W, {.rank = rank});
      const auto f = found.factors<Side>({.rank = rank});
      CHECK(f.B.cols() == dense.B.cols());
      CHECK(std::abs(found.residual<Side>(f.B, f.A) - dense.residual) <= 1e-9);
      // The same multiplier, to the square of W0's condition number in the rounding of both.
      CHECK((f.B * f.A - dense.B * dense.A).norm() <= 1e-8 * (dense.B * dense.A).norm());
    }
    CHECK(cut.size() > 0);
  };
  check(Pre{}, D);
  check(Post{}, D);
  const PlusFactors sum = found.additive({.rank = 12});
  CHECK(found.additive_residual(sum.B, sum.A) <= 1e-12);
}

}  // namespace

TEST_CASE("by panels and in memory: one reach, one residual, one multiplier") {
  // Three panels of rows and a rest; the change of rank 12 at most.
  const Matrix<double> W0 = random_matrix<double>(200, 12, 1);
  compare(W0, 0.1 * random_matrix<double>(200, 12, 2));
  compare(W0, random_matrix<double>(200, 4, 3) * random_matrix<double>(4, 12, 4));
  // A weight that does not have full rank reaches less.
  const Matrix<double> deficient =
      random_matrix<double>(200, 7, 5) * random_matrix<double>(7, 12, 6);
  compare(deficient, 0.1 * random_matrix<double>(200, 12, 7));
}

TEST_CASE("by panels and in memory, where a sketch gives the leading triplets") {
  const Matrix<double> W0 = random_matrix<double>(1100, 125, 1);
  const Matrix<double> low = random_matrix<double>(1100, 2, 2) * random_matrix<double>(2, 125, 3);
  // Two triplets beside rounding in float's place, and two alone.
  for (const double noise : {1e-7, 0.0}) {
    const Matrix<double> W = W0 + low + noise * random_matrix<double>(1100, 125, 4);
    const InMemory before{W0}, after{W};
    const analysis::PanelExtraction<InMemory> found(before, after, 0x1p-23, [] {});
    const auto dense = analysis::extract<Pre>(W0, W, {.rank = 2});
    for (const analysis::Truncation& wanted : {analysis::Truncation{.rank = 2},
                                               {.energy = 1.0 - 1e-8},
                                               {.rank = 3, .tolerance = 1e-4}}) {
      const auto f = found.factors<Pre>(wanted);
      CHECK(f.B.cols() == 2);
      CHECK(f.base_rank == 125);
      CHECK(f.unreachable == 0.0);
      CHECK(std::abs(found.residual<Pre>(f.B, f.A) - dense.residual) <= 1e-11);
      CHECK((f.B * f.A - dense.B * dense.A).norm() <= 1e-9 * (dense.B * dense.A).norm());
      const PlusFactors sum = found.additive(wanted);
      CHECK((sum.B * sum.A - low).norm() <= (2.0 * 1100 * noise + 1e-11) * low.norm());
    }
  }
  // Of a weight of rank 60: what it does not reach is left out of the sketch.
  const Matrix<double> deficient =
      random_matrix<double>(1100, 60, 5) * random_matrix<double>(60, 125, 6);
  const Matrix<double> W = deficient + low;
  const InMemory before{deficient}, after{W};
  const analysis::PanelExtraction<InMemory> found(before, after, 0x1p-52, [] {});
  const auto dense = analysis::extract<Pre>(deficient, W, {.rank = 2});
  const auto f = found.factors<Pre>({.rank = 2});
  CHECK(f.base_rank == 60);
  CHECK(std::abs(f.unreachable - dense.unreachable) <= 1e-11);
  CHECK((f.B * f.A - dense.B * dense.A).norm() <= 1e-8 * (dense.B * dense.A).norm());
}

TEST_CASE("no change, and numbers that are not finite") {
  const Matrix<double> W0 = random_matrix<double>(60, 6, 1);
  const InMemory before{W0};
  const analysis::PanelExtraction<InMemory> none(before, before, 0x1p-52, [] {});
  CHECK(none.size() == 0.0);
  CHECK(none.reach<Pre>().unreachable == 0.0);
  const auto f = none.factors<Pre>({.rank = 4});
  CHECK((f.B * f.A).isZero(0.0));
  CHECK(none.residual<Pre>(f.B, f.A) == 0.0);
  Matrix<double> bad = W0;
  bad(59, 0) = std::numeric_limits<double>::infinity();
  const InMemory after{bad};
  using Extraction = analysis::PanelExtraction<InMemory>;
  CHECK_THROWS_AS(Extraction(before, after, 0x1p-52, [] {}), NonFinite);
}
