// SPDX-License-Identifier: Apache-2.0
// The product that everything else is made of, against sums written out in long double.

#include <doctest/doctest.h>

#include <cmath>
#include <lorma/backend/eigen_cpu.hpp>
#include <vector>

#include "../support/random_matrices.hpp"

using lorma::EigenCpu;
using lorma::Index;
using lorma::MatrixView;
using lorma::StorageOrder;
using lorma::Workspace;
using namespace lorma_tests;

namespace {

constexpr StorageOrder orders[] = {StorageOrder::ColMajor, StorageOrder::RowMajor};

/// A rows x cols view with `gap` foreign numbers after every line, all of them `around`.
template <typename T>
struct Framed {
  Framed(Index rows, Index cols, StorageOrder order, Index gap, T around)
      : outside(around),
        memory(std::size_t(stride(rows, cols, order, gap) *
                           (order == StorageOrder::ColMajor ? cols : rows)) +
                   1,
               around) {
    view = {memory.data(), rows, cols, stride(rows, cols, order, gap), order};
  }
  static Index stride(Index rows, Index cols, StorageOrder order, Index gap) {
    return std::max<Index>(1, order == StorageOrder::ColMajor ? rows : cols) + gap;
  }
  template <typename M>
  void set(const M& m) {
    for (Index j = 0; j < view.cols; ++j) {
      for (Index i = 0; i < view.rows; ++i) view(i, j) = static_cast<T>(m(i, j));
    }
  }
  /// True when nothing beside the view was written.
  bool frame_untouched() {
    std::vector<T> copy = memory;
    for (Index j = 0; j < view.cols; ++j) {
      for (Index i = 0; i < view.rows; ++i)
        copy[std::size_t(&view(i, j) - memory.data())] = outside;
    }
    for (const T& x : copy) {
      if (x != outside) return false;
    }
    return true;
  }

  T outside;
  std::vector<T> memory;
  MatrixView<T> view;
};

/// alpha A B + beta C0, and what its rounding may come to: (k + 3) eps of the sums of magnitudes.
template <typename S>
struct Product {
  template <typename MA>
  Product(S alpha, const MA& A, const Matrix<S>& B, S beta, const Matrix<S>& C0)
      : value(A.rows(), B.cols()), bound(A.rows(), B.cols()) {
    for (Index j = 0; j < value.cols(); ++j) {
      for (Index i = 0; i < value.rows(); ++i) {
        long double sum = beta == S(0) ? 0.0L : static_cast<long double>(beta) * C0(i, j);
        long double magnitude = std::abs(sum);
        for (Index k = 0; k < A.cols(); ++k) {
          const long double term = static_cast<long double>(alpha) *
                                   static_cast<long double>(A(i, k)) *
                                   static_cast<long double>(B(k, j));
          sum += term;
          magnitude += std::abs(term);
        }
        value(i, j) = sum;
        bound(i, j) = static_cast<long double>(eps<S>) * (A.cols() + 3) * magnitude;
      }
    }
  }
  bool is(const MatrixView<S>& C) const {
    for (Index j = 0; j < C.cols; ++j) {
      for (Index i = 0; i < C.rows; ++i) {
        if (!(std::abs(static_cast<long double>(C(i, j)) - value(i, j)) <= bound(i, j))) {
          return false;
        }
      }
    }
    return true;
  }
  Matrix<long double> value, bound;
};

template <typename S, typename MA>
bool is_product(const MatrixView<S>& C, S alpha, const MA& A, const Matrix<S>& B, S beta,
                const Matrix<S>& C0) {
  return Product<S>(alpha, A, B, beta, C0).is(C);
}

struct Sizes {
  Index m, n, k;
};

template <typename S>
void check_product(const Sizes& size, S alpha, S beta) {
  CAPTURE(size.m);
  CAPTURE(size.n);
  CAPTURE(size.k);
  const Matrix<S> a = random_matrix<S>(size.m, size.k, 1);
  const Matrix<S> b = random_matrix<S>(size.k, size.n, 2);
  const Matrix<S> c = random_matrix<S>(size.m, size.n, 3);
  const Product<S> expected(alpha, a, b, beta, c);
  const S nan = std::numeric_limits<S>::quiet_NaN();
  Workspace workspace;
  for (const auto order_A : orders) {
    for (const auto order_B : orders) {
      for (const auto order_C : orders) {
        for (const Index gap : {0, 3}) {
          // NaN around the inputs: a number read beside them would show.
          Framed<S> A(size.m, size.k, order_A, gap, nan);
          Framed<S> B(size.k, size.n, order_B, gap, nan);
          Framed<S> C(size.m, size.n, order_C, gap, S(7));
          A.set(a);
          B.set(b);
          C.set(c);
          if (beta == S(0)) C.set(Matrix<S>::Constant(size.m, size.n, nan));
          EigenCpu::gemm(workspace, alpha, as_const(A.view), as_const(B.view), beta, C.view);
          CHECK(expected.is(C.view));
          CHECK(C.frame_untouched());
        }
      }
    }
  }
}

}  // namespace

TEST_CASE_TEMPLATE("every order, gap and edge size", S, float, double) {
  for (const Sizes& size : {Sizes{1, 1, 1},
                            {5, 7, 3},
                            {1, 9, 4},
                            {9, 1, 4},
                            {6, 4, 1},
                            {1, 1, 13},
                            {64, 65, 17},
                            {8, 100, 5},
                            {100, 8, 33},
                            {3, 30, 64},
                            {129, 97, 2}}) {
    check_product<S>(size, S(1), S(0));
    check_product<S>(size, S(-0.5), S(1));
    check_product<S>(size, S(2), S(0.25));
  }
}

TEST_CASE_TEMPLATE("sizes large enough for several threads", S, float, double) {
  check_product<S>({301, 143, 111}, S(1), S(0));
  check_product<S>({143, 301, 97}, S(1), S(1));
}

TEST_CASE_TEMPLATE("empty products: nothing to write, or nothing to add", S, float, double) {
  Workspace workspace;
  for (const auto order : orders) {
    Framed<S> A(4, 0, order, 2, S(1));
    Framed<S> B(0, 3, order, 2, S(1));
    Framed<S> C(4, 3, order, 2, S(7));
    C.set(Matrix<S>::Constant(4, 3, std::numeric_limits<S>::quiet_NaN()));
    EigenCpu::gemm(workspace, S(1), as_const(A.view), as_const(B.view), S(0), C.view);
    CHECK(C.view(3, 2) == S(0));  // beta = 0 overwrites NaN
    C.set(Matrix<S>::Constant(4, 3, S(3)));
    EigenCpu::gemm(workspace, S(1), as_const(A.view), as_const(B.view), S(2), C.view);
    CHECK(C.view(0, 0) == S(6));
    EigenCpu::gemm(workspace, S(1), as_const(C.view.block(0, 0, 4, 0)), as_const(B.view), S(1),
                   C.view);
    CHECK(C.view(0, 0) == S(6));
    EigenCpu::gemm(workspace, S(1), as_const(A.view.row_range(0, 0)), as_const(B.view), S(0),
                   C.view.row_range(0, 0));
    CHECK(C.frame_untouched());
  }
}

TEST_CASE_TEMPLATE("the turned view of LoRMA_pi is an ordinary operand", S, float, double) {
  for (const Index n : {1, 2, 5, 43, 128}) {
    const Matrix<S> M = random_matrix<S>(n, n, 1);
    const Matrix<S> Y = random_matrix<S>(n, 6, 2);
    Framed<S> twice(n, 2 * n, StorageOrder::RowMajor, 0, S(0));
    Matrix<S> turned(n, n);
    for (Index i = 0; i < n; ++i) {
      for (Index j = 0; j < n; ++j) {
        twice.view(i, j) = twice.view(i, n + j) = M(i, j);
        turned(i, j) = M(i, (j - i + n) % n);
      }
    }
    const MatrixView<const S> P(twice.view.data + n, n, n, 2 * n - 1, StorageOrder::RowMajor);
    Workspace workspace;
    Matrix<S> out = Matrix<S>::Zero(n, 6);
    EigenCpu::gemm(workspace, S(1), P, lorma::view_of(Y), S(0), lorma::view_of(out));
    CHECK(is_product(lorma::view_of(out), S(1), turned, Y, S(0), out));
    EigenCpu::gemm(workspace, S(1), P.transposed(), lorma::view_of(Y), S(0), lorma::view_of(out));
    CHECK(is_product(lorma::view_of(out), S(1), Matrix<S>(turned.transpose()), Y, S(0), out));
  }
}

TEST_CASE_TEMPLATE("half and bfloat16 are converted by panels and summed in float", T, Eigen::half,
                   Eigen::bfloat16) {
  Workspace workspace;
  for (const Sizes& size : {Sizes{5, 7, 3}, {37, 1, 29}, {40, 3, 20000}, {1, 3, 8}}) {
    const Matrix<T> a = random_matrix<float>(size.m, size.k, 1).template cast<T>();
    const Matrix<float> b = random_matrix<float>(size.k, size.n, 2);
    const Matrix<float> c = random_matrix<float>(size.m, size.n, 3);
    for (const auto order : orders) {
      Framed<T> A(size.m, size.k, order, 1, T(9));
      A.set(a);
      Matrix<float> C = c;
      EigenCpu::gemm(workspace, 2.0F, as_const(A.view), lorma::view_of(std::as_const(b)), 0.5F,
                     lorma::view_of(C));
      CHECK(
          is_product(lorma::view_of(C), 2.0F, Matrix<float>(a.template cast<float>()), b, 0.5F, c));
    }
  }
  // A float copy of all of A is never made: 40 x 20000 would take 3.2 MB.
  CHECK(workspace.peak_bytes() < 40 * 20000 * sizeof(float));
}

TEST_CASE("copies convert and round once, between any two orders and strides") {
  Workspace workspace;
  const Matrix<double> m = random_matrix<double>(67, 45, 5);
  for (const auto from : orders) {
    for (const auto to : orders) {
      Framed<double> in(67, 45, from, 2, 1e300);
      in.set(m);
      Framed<float> out(67, 45, to, 3, 7.0F);
      EigenCpu::copy(workspace, as_const(in.view), out.view);
      bool equal = true;
      for (Index j = 0; j < 45; ++j) {
        for (Index i = 0; i < 67; ++i) {
          equal = equal && out.view(i, j) == static_cast<float>(m(i, j));
        }
      }
      CHECK(equal);
      CHECK(out.frame_untouched());
    }
  }
}

TEST_CASE_TEMPLATE("fill, add_identity, is_finite", T, float, double) {
  Workspace workspace;
  for (const auto order : orders) {
    Framed<T> x(6, 6, order, 2, std::numeric_limits<T>::infinity());
    EigenCpu::fill(workspace, T(2), x.view);
    CHECK(EigenCpu::is_finite(workspace, as_const(x.view)));  // what is beside it does not count
    EigenCpu::add_identity(workspace, T(1), x.view);
    CHECK(x.view(3, 3) == T(3));
    CHECK(x.view(3, 2) == T(2));
    for (const T bad : {std::numeric_limits<T>::infinity(), -std::numeric_limits<T>::infinity(),
                        std::numeric_limits<T>::quiet_NaN()}) {
      const T kept = x.view(5, 5);
      x.view(5, 5) = bad;
      CHECK_FALSE(EigenCpu::is_finite(workspace, as_const(x.view)));
      x.view(5, 5) = kept;
    }
    // Largest numbers: a sum of them would overflow.
    EigenCpu::fill(workspace, std::numeric_limits<T>::max(), x.view);
    CHECK(EigenCpu::is_finite(workspace, as_const(x.view)));
    CHECK(EigenCpu::is_finite(workspace, as_const(x.view.row_range(0, 0))));
  }
}
