// SPDX-License-Identifier: Apache-2.0
// The door: what is read where it lies, what is copied, what is refused; overlap of operands.

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <lorma/backend/eigen_cpu.hpp>
#include <vector>

#include "../support/random_matrices.hpp"

using namespace lorma;
using namespace lorma_tests;
using lorma::detail::may_overlap;

namespace {

using Any = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
using Strided = Eigen::Map<Matrix<float>, 0, Any>;
using ConstStrided = Eigen::Map<const Matrix<float>, 0, Any>;

template <typename S = float, typename X>
Readable<S> read(const X& x) {
  Workspace workspace;
  Door<EigenCpu> door("f", workspace);
  return door.read<S>("X", x);
}

template <typename Derived>
bool shows(const MatrixView<const float>& view, const Eigen::DenseBase<Derived>& m) {
  bool same = view.rows == m.rows() && view.cols == m.cols();
  for (Index j = 0; same && j < m.cols(); ++j) {
    for (Index i = 0; same && i < m.rows(); ++i) same = view(i, j) == float(m(i, j));
  }
  return same;
}

/// What a BLAS asks of a view.
template <typename T>
bool blas_reads(const MatrixView<T>& v) {
  return v.ld >= std::max<Index>(1, v.col_major() ? v.rows : v.cols);
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

TEST_CASE("every pair of strides is read: where it lies if a BLAS can, else as a copy") {
  std::vector<float> memory(400);
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = float(i % 97) - 40.0F;
  for (const Index rows : {1, 2, 5}) {
    for (const Index cols : {1, 3, 4}) {
      for (const Index outer : {0, 1, 2, 4, 5, 7, 20, 40}) {
        for (const Index inner : {0, 1, 2, 3, 9}) {
          CAPTURE(rows);
          CAPTURE(cols);
          CAPTURE(outer);
          CAPTURE(inner);
          const ConstStrided x(memory.data(), rows, cols, Any(outer, inner));
          const auto readable = read(x);
          CHECK(shows(readable.view(), x));
          CHECK(blas_reads(readable.view()));
          const bool viewable = ((rows == 1 || inner == 1) && (cols == 1 || outer >= rows)) ||
                                ((cols == 1 || outer == 1) && (rows == 1 || inner >= cols));
          CHECK(readable.is_copy() != viewable);
          if (viewable) CHECK(readable.view().data == memory.data());

          // As an output the same view, or a refusal in words.
          Strided y(memory.data(), rows, cols, Any(outer, inner));
          Workspace workspace;
          Door<EigenCpu> door("f", workspace);
          if (viewable) {
            CHECK(shows(as_const(door.write<float>("Y", y)), x));
          } else {
            CHECK_THROWS_WITH_AS(door.write<float>("Y", y),
                                 doctest::Contains("lorma::f: expected Y, an output, to have unit"),
                                 ShapeError);
          }
        }
      }
    }
  }
}

TEST_CASE("negative strides and views whose leading dimension is too small are copied") {
  std::vector<float> memory(40);
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = float(i);
  const MatrixView<float> window(memory.data(), 5, 4, 2);  // column j is x[2 j ... 2 j + 5)
  CHECK(read(window).is_copy());
  CHECK(read(window).view()(4, 3) == 10.0F);
  const MatrixView<const float> backwards(memory.data() + 30, 3, 4, -5);
  CHECK(read(backwards).is_copy());
  CHECK(read(backwards).view()(2, 3) == 17.0F);
  const Matrix<float> m = random_matrix<float>(4, 3, 1);
  CHECK(shows(read(m.rowwise().reverse()).view(), m.rowwise().reverse()));
  Workspace workspace;
  Door<EigenCpu> door("f", workspace);
  CHECK_THROWS_AS(door.write<float>("Y", window), ShapeError);
  CHECK_THROWS_AS(door.read<float>("X", MatrixView<float>(memory.data(), -1, 4, 2)), ShapeError);
}

TEST_CASE("expressions and scalars that convert exactly are copied") {
  const Matrix<float> m = random_matrix<float>(4, 3, 1);
  CHECK(shows(read(m + m).view(), 2.0F * m));
  CHECK(shows(read(m.transpose()).view(), m.transpose()));
  CHECK_FALSE(read(m.transpose()).is_copy());
  const Matrix<Eigen::bfloat16> rounded = m.cast<Eigen::bfloat16>();
  CHECK(shows(read(rounded).view(), rounded.cast<float>()));
  CHECK(read<double>(m).view()(3, 2) == double(m(3, 2)));
  CHECK(read(rounded.transpose()).view()(2, 3) == float(rounded(3, 2)));
}

TEST_CASE("a copy lives as long as what was read, moved or not") {
  const Matrix<float> m = random_matrix<float>(4, 3, 1);
  Readable<float> first = read(m + m);
  const Readable<float> second = std::move(first);
  CHECK(second.is_copy());
  CHECK(shows(second.view(), 2.0F * m));
}

TEST_CASE("sizes that do not fit are refused before anything is computed with them") {
  float one = 1.0F;
  const Index huge = Index(1) << 40;
  CHECK_THROWS_AS(read(MatrixView<const float>(&one, huge, huge, huge)), ShapeError);
  Workspace workspace;
  CHECK_THROWS_AS(workspace.take<float>(huge, huge), ShapeError);
  CHECK_THROWS_AS(workspace.take<double>(Index(1) << 30, Index(1) << 30), ShapeError);
}

TEST_CASE("an output may not share memory with another operand") {
  Matrix<float> m = random_matrix<float>(9, 8, 1);
  const auto overlap = [&](auto&& in, auto&& out) {
    Workspace workspace;
    Door<EigenCpu> door("f", workspace);
    const auto readable = door.read<float>("X", in);
    door.write<float>("Y", out);
    try {
      door.close();
    } catch (const ShapeError& error) {
      CHECK(std::string(error.what()) ==
            "lorma::f: expected Y to share no memory with X, got overlapping matrices");
      return true;
    }
    return false;
  };
  CHECK(overlap(m, m));
  CHECK(overlap(m, m.transpose()));
  CHECK(overlap(m.topRows(5), m.bottomRows(5)));
  CHECK_FALSE(overlap(m.topRows(4), m.bottomRows(5)));
  CHECK_FALSE(overlap(m.leftCols(4), m.rightCols(4)));
  CHECK_FALSE(overlap(m + m, m));  // read already
  const auto may_replace = [&](auto&& in, auto&& out) {
    Workspace workspace;
    Door<EigenCpu> door("f", workspace);
    const auto readable = door.read_to_replace<float>("X", in);
    door.write<float>("Y", out);
    try {
      door.close();
    } catch (const ShapeError&) {
      return false;
    }
    return true;
  };
  CHECK(may_replace(m, m));
  CHECK_FALSE(may_replace(m, m.transpose()));
  CHECK_FALSE(may_replace(m.leftCols(5), m.rightCols(5)));
  // Two outputs.
  Workspace workspace;
  Door<EigenCpu> door("f", workspace);
  door.write<float>("Y", m.leftCols(5));
  door.write<float>("Z", m.rightCols(5));
  CHECK_THROWS_AS(door.close(), ShapeError);
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
