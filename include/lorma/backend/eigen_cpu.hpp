// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_BACKEND_EIGEN_CPU_HPP
#define LORMA_BACKEND_EIGEN_CPU_HPP

/// The CPU: Eigen's kernels, or those of a BLAS when EIGEN_USE_BLAS is defined.
///
/// Threads: those of the Workspace's executor; a BLAS has its own beside them. In a rehearsal of
/// the Workspace nothing is read or written, by any of its functions.

#include <algorithm>
#include <cmath>
#include <vector>

#include "lorma/backend/backend.hpp"
#include "lorma/backend/cost_rates.hpp"
#include "lorma/backend/eigen_gemm.hpp"
#include "lorma/backend/host_memory.hpp"
#include "lorma/backend/panels.hpp"

namespace lorma::inline LORMA_ABI {

struct EigenCpu : HostMemoryBackend {
  static constexpr std::string_view name = "EigenCpu";
  using Rehearses = EigenCpu;

  template <typename S>
  static constexpr bool computes = ComputeScalar<S>;
  /// What fits the second-level cache, and columns whose copy does.
  static constexpr Index cache_bytes = Index(1) << 19;
  static constexpr Index panel_columns(const Workspace&) { return 256; }

  template <typename S>
  static constexpr CostRates cost_rates() {
    return {};
  }

  /// C = alpha A B + beta C. A of half or bfloat16 is converted by panels of rows.
  template <typename TA, typename TB, typename S>
  requires StorableIn<TA, S> && std::same_as<std::remove_const_t<TB>, S>
  static void gemm(Workspace& workspace, std::type_identity_t<S> alpha, const MatrixView<TA>& A,
                   const MatrixView<TB>& B, std::type_identity_t<S> beta, const MatrixView<S>& C) {
    if constexpr (std::same_as<std::remove_const_t<TA>, S>) {
      detail::gemm<S>(workspace, alpha, A, B, beta, C);
    } else {
      // A panel of 2^18 numbers stays in the second-level cache until the product has read it.
      const Index rows = std::clamp<Index>((Index(1) << 18) / std::max<Index>(A.cols, 1), 16, 1024);
      detail::gemm_by_panels<EigenCpu, std::remove_const_t<TA>, S>(workspace, alpha, A, B, beta, C,
                                                                   rows);
    }
  }

  /// C_i = alpha_i A_i B_i + beta C_i for all i.
  template <typename S>
  static void gemm_grouped(Workspace& workspace, const std::vector<S>& alpha,
                           const std::vector<MatrixView<const S>>& A,
                           const std::vector<MatrixView<const S>>& B, S beta,
                           const std::vector<MatrixView<S>>& C) {
    for (std::size_t i = 0; i < C.size(); ++i) gemm(workspace, alpha[i], A[i], B[i], beta, C[i]);
  }

  /// to = from, elementwise; conversions round to nearest once.
  template <typename T, typename U>
  static void copy(Workspace& workspace, const MatrixView<T>& from, const MatrixView<U>& to) {
    if (workspace.rehearsing()) return;
    visit_eigen(to, [&from](auto out) {
      visit_eigen(from, [&out](auto in) {
        // Small blocks keep a transposing copy in cache.
        constexpr bool same_order =
            bool(decltype(in)::IsRowMajor) == bool(decltype(out)::IsRowMajor);
        constexpr Index tile = 32;
        if constexpr (same_order) {
          out = in.template cast<std::remove_const_t<U>>();
        } else {
          for (Index j = 0; j < in.cols(); j += tile) {
            for (Index i = 0; i < in.rows(); i += tile) {
              const Index rows = std::min(tile, in.rows() - i);
              const Index cols = std::min(tile, in.cols() - j);
              out.block(i, j, rows, cols) =
                  in.block(i, j, rows, cols).template cast<std::remove_const_t<U>>();
            }
          }
        }
      });
    });
  }

  template <typename S>
  static void fill(Workspace& workspace, std::type_identity_t<S> value, const MatrixView<S>& X) {
    if (workspace.rehearsing()) return;
    visit_eigen(X, [value](auto x) { x.setConstant(value); });
  }

  /// to += from, elementwise.
  template <typename S>
  static void add(Workspace& workspace, const MatrixView<const S>& from, const MatrixView<S>& to) {
    if (workspace.rehearsing()) return;
    visit_eigen(to, [&from](auto out) { visit_eigen(from, [&out](auto in) { out += in; }); });
  }

  /// P += c I
  template <typename S>
  static void add_identity(Workspace& workspace, std::type_identity_t<S> c,
                           const MatrixView<S>& P) {
    if (workspace.rehearsing()) return;
    for (Index i = 0; i < P.rows; ++i) P(i, i) += c;
  }

  template <typename T>
  static bool is_finite(Workspace&, const MatrixView<T>& X) {
    const Index inner = X.col_major() ? X.rows : X.cols;
    const Index outer = X.col_major() ? X.cols : X.rows;
    using Sum = std::conditional_t<StorageOnlyScalar<std::remove_const_t<T>>, float,
                                   std::remove_const_t<T>>;
    for (Index o = 0; o < outer; ++o) {
      const T* line = X.data + o * X.ld;
      // x * 0 is 0 for finite x and NaN otherwise: no branch in the loop.
      Sum sum = 0;
      for (Index i = 0; i < inner; ++i) sum += static_cast<Sum>(line[i]) * Sum(0);
      if (!(sum == Sum(0))) return false;
    }
    return true;
  }
};

static_assert(BackendPolicy<EigenCpu>);

}  // namespace lorma::inline LORMA_ABI

#endif
