// SPDX-License-Identifier: Apache-2.0
// MatrixView: addresses, blocks, transposes; Eigen expressions as views; overlap of two views.

#include <doctest/doctest.h>

#include <lorma/backend/eigen_view.hpp>
#include <lorma/primitives/overlap.hpp>
#include <numeric>
#include <vector>

using lorma::Index;
using lorma::MatrixView;
using lorma::StorageOrder;
using lorma::detail::may_overlap;

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

/// By definition: some element of one lies in a byte of the other.
bool truly_overlap(const MatrixView<float>& a, const MatrixView<float>& b) {
  for (Index ai = 0; ai < a.rows; ++ai) {
    for (Index aj = 0; aj < a.cols; ++aj) {
      for (Index bi = 0; bi < b.rows; ++bi) {
        for (Index bj = 0; bj < b.cols; ++bj) {
          if (&a(ai, aj) == &b(bi, bj)) return true;
        }
      }
    }
  }
  return false;
}

}  // namespace

TEST_CASE("blocks and transposes of a view are those of the matrix") {
  Eigen::MatrixXd m(5, 4);
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
  Eigen::MatrixXf m(6, 5);
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
  const Eigen::Map<const Eigen::MatrixXf, 0, Eigen::OuterStride<>> map(m.data(), 2, 3,
                                                                       Eigen::OuterStride<>(7));
  CHECK(lorma::view_of(map).ld == 7);
  CHECK(lorma::view_of(map)(1, 2) == m.data()[15]);
  const Eigen::Map<Eigen::VectorXf, 0, Eigen::InnerStride<>> strided(m.data(), 4,
                                                                     Eigen::InnerStride<>(3));
  CHECK(shows(lorma::view_of(strided), strided));

  // Two strides that are not 1: no view, but an operand is copied.
  Eigen::Map<Eigen::MatrixXf, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>> gaps(
      m.data(), 3, 2, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(12, 2));
  CHECK_THROWS_AS(lorma::view_of(gaps), lorma::ShapeError);
  CHECK_THROWS_AS(lorma::detail::output_view("f", gaps), lorma::ShapeError);
  const lorma::detail::Operand<decltype(gaps)> operand(gaps);
  CHECK(operand.view()(2, 1) == gaps(2, 1));
  const auto sum = m + m;
  const lorma::detail::Operand<std::remove_const_t<decltype(sum)>> evaluated(sum);
  CHECK(evaluated.view()(5, 4) == 2 * m(5, 4));

  // One element, one line and nothing at all.
  const Eigen::MatrixXf none(0, 3);
  CHECK(lorma::view_of(none).empty());
  CHECK(lorma::view_of(none).ld >= 1);
  const Eigen::MatrixXf one = Eigen::MatrixXf::Constant(1, 1, 4.0F);
  CHECK(lorma::view_of(one)(0, 0) == 4.0F);
}

TEST_CASE("overlap is never missed, and blocks of one parent that share nothing are told apart") {
  std::vector<float> memory(200);
  std::vector<MatrixView<float>> views;
  for (const Index offset : {0, 3, 10, 23, 30, 64}) {
    for (const auto& sizes :
         {std::array<Index, 3>{3, 4, 10}, {7, 2, 10}, {1, 5, 10}, {4, 1, 10}, {3, 3, 3}}) {
      const Index rows = std::get<0>(sizes);
      const Index cols = std::get<1>(sizes);
      const Index ld = std::get<2>(sizes);
      for (const auto order : {StorageOrder::ColMajor, StorageOrder::RowMajor}) {
        const bool col = order == StorageOrder::ColMajor;
        views.emplace_back(memory.data() + offset, col ? rows : cols, col ? cols : rows, ld, order);
      }
    }
  }
  for (const auto& a : views) {
    for (const auto& b : views) {
      const bool truth = truly_overlap(a, b);
      if (truth) CHECK(may_overlap(a, b));
      // Exact for blocks of one parent.
      if (a.order == b.order && a.ld == b.ld && a.ld == 10 && !truth)
        CHECK_FALSE(may_overlap(a, b));
    }
  }
  CHECK_FALSE(may_overlap(views[0], MatrixView<float>()));
  CHECK_FALSE(may_overlap(views[0], views[0].block(0, 0, 0, 2)));
}
