// SPDX-License-Identifier: Apache-2.0
// MatrixView: addresses, blocks, transposes; Eigen expressions as views.

#include <doctest/doctest.h>

#include <lorma/core/eigen_view.hpp>
#include <numeric>

using lorma::Index;
using lorma::MatrixView;
using lorma::StorageOrder;

namespace {

template <typename Derived>
bool shows(const MatrixView<const typename Derived::Scalar>& view,
           const Eigen::DenseBase<Derived>& m) {
  if (view.rows != m.rows() || view.cols != m.cols()) return false;
  for (Index j = 0; j < m.cols(); ++j) {
    for (Index i = 0; i < m.rows(); ++i) {
      if (view(i, j) != m(i, j)) return false;
    }
  }
  return true;
}

}  // namespace

TEST_CASE("blocks and transposes of a view are those of the matrix") {
  lorma::Matrix<double> m(5, 4);
  std::iota(m.data(), m.data() + m.size(), 1.0);
  Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> r = m;
  for (const MatrixView<double>& view : {lorma::view_of(m), lorma::view_of(r)}) {
    CHECK(shows(view, m));
    CHECK(shows(view.transposed(), m.transpose()));
    CHECK(shows(view.block(1, 2, 3, 2), m.block(1, 2, 3, 2)));
    CHECK(shows(view.transposed().block(2, 1, 2, 3), m.transpose().block(2, 1, 2, 3)));
    CHECK(shows(view.col_range(1, 2), m.middleCols(1, 2)));
    CHECK(shows(view.row_range(4, 1), m.bottomRows(1)));
    CHECK(view.same_place(view));
    CHECK_FALSE(view.same_place(view.transposed()));
    CHECK(view.transposed().transposed().same_place(view));
    CHECK_FALSE(view.empty());
    CHECK(view.block(1, 1, 0, 3).empty());
  }
}

TEST_CASE("whatever has elements in memory is viewed where it lies") {
  lorma::Matrix<float> m(6, 5);
  std::iota(m.data(), m.data() + m.size(), 1.0F);
  CHECK(lorma::view_of(m).data == m.data());
  auto block = m.block(1, 2, 4, 2);
  CHECK(shows(lorma::view_of(block), block));
  CHECK(lorma::view_of(block).data == &m(1, 2));
  auto row = m.row(3);  // elements 6 apart
  CHECK(shows(lorma::view_of(row), row));
  auto column = m.col(2);
  CHECK(shows(lorma::view_of(column), column));
  auto transposed = m.transpose();
  CHECK(shows(lorma::view_of(transposed), transposed));
  const Eigen::Map<const lorma::Matrix<float>, 0, Eigen::OuterStride<>> map(
      m.data(), 2, 3, Eigen::OuterStride<>(7));
  CHECK(lorma::view_of(map).ld == 7);
  CHECK(lorma::view_of(map)(1, 2) == m.data()[15]);
  const Eigen::Map<Eigen::VectorXf, 0, Eigen::InnerStride<>> strided(m.data(), 4,
                                                                     Eigen::InnerStride<>(3));
  CHECK(shows(lorma::view_of(strided), strided));

  // Two strides that are not 1: no view.
  Eigen::Map<lorma::Matrix<float>, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>> gaps(
      m.data(), 3, 2, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(12, 2));
  CHECK_THROWS_AS(lorma::view_of(gaps), lorma::ShapeError);

  // One element, one line and nothing at all.
  const lorma::Matrix<float> none(0, 3);
  CHECK(lorma::view_of(none).empty());
  CHECK(lorma::view_of(none).ld >= 1);
  const lorma::Matrix<float> one = lorma::Matrix<float>::Constant(1, 1, 4.0F);
  CHECK(lorma::view_of(one)(0, 0) == 4.0F);
}
