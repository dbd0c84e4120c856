// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_BACKEND_EIGEN_GEMM_HPP
#define LORMA_BACKEND_EIGEN_GEMM_HPP

/// C = alpha A B + beta C on strided views, by Eigen's kernel or, under EIGEN_USE_BLAS, the BLAS's.
///
/// Eigen's kernel is called beneath its expression layer, with packing buffers from the Workspace:
/// the public `C.noalias() += A * B` allocates them on every call. One instantiation for each
/// scalar and pair of input orders serves all of lorma.

#include <Eigen/Core>
#include <algorithm>

#include "lorma/core/eigen_view.hpp"
#include "lorma/core/workspace.hpp"

namespace lorma::inline LORMA_ABI::detail {

/// C *= beta, where beta = 0 overwrites NaN as BLAS does.
template <typename S>
void scale_in_place(S beta, const MatrixView<S>& C) {
  if (beta == S(1)) return;
  visit_eigen(C, [beta](auto c) {
    if (beta == S(0)) {
      c.setZero();
    } else {
      c *= beta;
    }
  });
}

/// Packing buffers of Eigen's kernel in memory of the Workspace.
template <typename S>
class WorkspaceBlocking : public Eigen::internal::level3_blocking<S, S> {
 public:
  WorkspaceBlocking(Index m, Index n, Index k) {
    this->m_mc = m;
    this->m_nc = n;
    this->m_kc = k;
    Eigen::internal::computeProductBlockingSizes<S, S>(this->m_kc, this->m_mc, this->m_nc,
                                                       Index(1));
  }
  void take_from(Workspace& workspace) {
    this->m_blockA = workspace.take_array<S>(this->m_kc * this->m_mc);
    this->m_blockB = workspace.take_array<S>(this->m_kc * this->m_nc);
  }
};

#ifdef EIGEN_USE_BLAS

/// The door has let in no size above max_dimension.
inline int blas_int(Index value) {
  return static_cast<int>(value);
}

/// C column-major; A, B of either order.
template <typename S>
void blas_gemm(S alpha, const MatrixView<const S>& A, const MatrixView<const S>& B, S beta,
               const MatrixView<S>& C) {
  char ta = A.col_major() ? 'N' : 'T';
  char tb = B.col_major() ? 'N' : 'T';
  int m = blas_int(C.rows), n = blas_int(C.cols), k = blas_int(A.cols);
  int lda = blas_int(A.ld), ldb = blas_int(B.ld), ldc = blas_int(C.ld);
  // The declarations in Eigen take pointers to non-const; BLAS writes to C alone.
  auto* a = const_cast<S*>(A.data);
  auto* b = const_cast<S*>(B.data);
  if constexpr (std::is_same_v<S, float>) {
    sgemm_(&ta, &tb, &m, &n, &k, &alpha, a, &lda, b, &ldb, &beta, C.data, &ldc);
  } else {
    dgemm_(&ta, &tb, &m, &n, &k, &alpha, a, &lda, b, &ldb, &beta, C.data, &ldc);
  }
}

#else

template <typename S, int OrderA, int OrderB>
void eigen_gemm_kernel(S alpha, const MatrixView<const S>& A, const MatrixView<const S>& B,
                       const MatrixView<S>& C, WorkspaceBlocking<S>& blocking) {
  Eigen::internal::general_matrix_matrix_product<Index, S, OrderA, false, S, OrderB, false,
                                                 Eigen::ColMajor, 1>::run(C.rows, C.cols, A.cols,
                                                                          A.data, A.ld, B.data,
                                                                          B.ld, C.data, 1, C.ld,
                                                                          alpha, blocking, nullptr);
}

template <typename S>
void eigen_gemm_one_thread(S alpha, const MatrixView<const S>& A, const MatrixView<const S>& B,
                           const MatrixView<S>& C, WorkspaceBlocking<S>& blocking) {
  constexpr int col = Eigen::ColMajor;
  constexpr int row = Eigen::RowMajor;
  if (A.col_major()) {
    B.col_major() ? eigen_gemm_kernel<S, col, col>(alpha, A, B, C, blocking)
                  : eigen_gemm_kernel<S, col, row>(alpha, A, B, C, blocking);
  } else {
    B.col_major() ? eigen_gemm_kernel<S, row, col>(alpha, A, B, C, blocking)
                  : eigen_gemm_kernel<S, row, row>(alpha, A, B, C, blocking);
  }
}

/// C column-major. Tasks share C by stripes of its longer side; each has its own buffers. Stripes
/// are multiples of the kernel's register tile and keep the blocking of the whole product along the
/// sum, so every element is added up in the same order whatever their number.
template <typename S>
void eigen_gemm(Workspace& workspace, S alpha, const MatrixView<const S>& A,
                const MatrixView<const S>& B, S beta, const MatrixView<S>& C) {
  const double flops = 2.0 * double(C.rows) * double(C.cols) * double(A.cols);
  const bool by_rows = C.rows > C.cols;
  const Index length = by_rows ? C.rows : C.cols;
  constexpr Index grain = 48;         // a multiple of the register tile on every target
  constexpr double least_work = 2e6;  // flops of a task: about 30 us, several times its cost
  const Index most =
      std::min((length + grain - 1) / grain, static_cast<Index>(std::min(flops / least_work, 1e6)));
  const Index tasks =
      std::clamp<Index>(workspace.executor().threads(), 1, std::max<Index>(1, most));

  const auto frame = workspace.frame();
  using Blocking = WorkspaceBlocking<S>;
  Blocking whole(C.rows, C.cols, A.cols);
  if (tasks == 1) {
    whole.take_from(workspace);
    if (workspace.rehearsing()) return;
    scale_in_place(beta, C);
    eigen_gemm_one_thread(alpha, A, B, C, whole);
    return;
  }
  const Index stripe = ((length + tasks - 1) / tasks + grain - 1) / grain * grain;
  auto* blockings = workspace.take_array<Blocking>(tasks);
  for (Index t = 0; t < tasks; ++t) {
    ::new (static_cast<void*>(blockings + t)) Blocking(whole);
    blockings[t].take_from(workspace);
  }
  if (workspace.rehearsing()) return;
  scale_in_place(beta, C);
  workspace.executor().parallel_for(tasks, [&](Index t) {
    const Index begin = std::min(length, t * stripe);
    const Index count = std::min(length - begin, stripe);
    if (count == 0) return;
    if (by_rows) {
      eigen_gemm_one_thread(alpha, A.row_range(begin, count), B, C.row_range(begin, count),
                            blockings[t]);
    } else {
      eigen_gemm_one_thread(alpha, A, B.col_range(begin, count), C.col_range(begin, count),
                            blockings[t]);
    }
  });
}

#endif  // EIGEN_USE_BLAS

/// y = alpha A x + beta y for columns x, y stored without gaps.
template <typename S>
void gemv_contiguous(S alpha, const MatrixView<const S>& A, const S* x, S beta, S* y) {
#ifdef EIGEN_USE_BLAS
  char t = A.col_major() ? 'N' : 'T';
  int m = blas_int(A.col_major() ? A.rows : A.cols);
  int n = blas_int(A.col_major() ? A.cols : A.rows);
  int lda = blas_int(A.ld), one = 1;
  auto* a = const_cast<S*>(A.data);
  auto* px = const_cast<S*>(x);
  if constexpr (std::is_same_v<S, float>) {
    sgemv_(&t, &m, &n, &alpha, a, &lda, px, &one, &beta, y, &one);
  } else {
    dgemv_(&t, &m, &n, &alpha, a, &lda, px, &one, &beta, y, &one);
  }
#else
  using Vector = Eigen::Matrix<S, Eigen::Dynamic, 1>;
  const Eigen::Map<const Vector> vx(x, A.cols);
  Eigen::Map<Vector> vy(y, A.rows);
  scale_in_place(beta, MatrixView<S>(y, A.rows, 1, A.rows));
  visit_eigen(A, [&](auto a) { vy.noalias() += alpha * (a * vx); });
#endif
}

/// The column `v` (n x 1) without gaps: itself, or a copy in the workspace.
template <typename S>
const S* contiguous_column(Workspace& workspace, const MatrixView<const S>& v) {
  if (v.row_stride() == 1 || v.rows <= 1) return v.data;
  S* copy = workspace.take_array<S>(v.rows);
  for (Index i = 0; i < v.rows && !workspace.rehearsing(); ++i) copy[i] = v(i, 0);
  return copy;
}

template <typename S>
void gemv(Workspace& workspace, S alpha, const MatrixView<const S>& A, const MatrixView<const S>& x,
          S beta, const MatrixView<S>& y) {
  const auto frame = workspace.frame();
  const S* px = contiguous_column(workspace, x);
  const bool in_place = y.row_stride() == 1 || y.rows <= 1;
  S* py = in_place ? y.data : workspace.take_array<S>(y.rows);
  if (workspace.rehearsing()) return;
  if (in_place) return gemv_contiguous(alpha, A, px, beta, py);
  for (Index i = 0; i < y.rows; ++i) py[i] = y(i, 0);
  gemv_contiguous(alpha, A, px, beta, py);
  for (Index i = 0; i < y.rows; ++i) y(i, 0) = py[i];
}

/// C = alpha A B + beta C; C overlaps neither A nor B. In a rehearsal only takes its scratch.
template <typename S>
void gemm(Workspace& workspace, S alpha, const MatrixView<const S>& A, const MatrixView<const S>& B,
          S beta, const MatrixView<S>& C) {
  if (C.empty()) return;
  if (A.cols == 0) {
    if (!workspace.rehearsing()) scale_in_place(beta, C);
  } else if (C.cols == 1) {
    gemv(workspace, alpha, A, B, beta, C);
  } else if (C.rows == 1) {
    gemv(workspace, alpha, B.transposed(), A.transposed(), beta, C.transposed());
  } else if (!C.col_major()) {
    gemm(workspace, alpha, B.transposed(), A.transposed(), beta, C.transposed());
  } else if (C.rows <= 64 && C.cols >= 8 * C.rows && !B.col_major()) {
    // A few long rows from a row-major B: kernels pack such a right side slowly (measured: a third
    // of the rate), the left side of the transposed product fast.
    const auto frame = workspace.frame();
    const MatrixView<S> transposed = workspace.take<S>(C.cols, C.rows);
    gemm(workspace, alpha, B.transposed(), A.transposed(), S(0), transposed);
    if (workspace.rehearsing()) return;
    const auto product = eigen_map<Eigen::ColMajor>(transposed);
    auto c = eigen_map<Eigen::ColMajor>(C);
    if (beta == S(0)) {
      c = product.transpose();
    } else {
      c = beta * c + product.transpose();
    }
  } else {
#ifdef EIGEN_USE_BLAS
    if (!workspace.rehearsing()) blas_gemm(alpha, A, B, beta, C);
#else
    eigen_gemm(workspace, alpha, A, B, beta, C);
#endif
  }
}

}  // namespace lorma::inline LORMA_ABI::detail

#endif
