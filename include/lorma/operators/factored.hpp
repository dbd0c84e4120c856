// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_OPERATORS_FACTORED_HPP
#define LORMA_OPERATORS_FACTORED_HPP

/// P = c I + s B A through its factors, with the c that the inflation declares:
///   P Y = c Y + s B (A Y)
/// Cost of b columns: 4 n r b flops for apply, 8 n r b more for vjp; memory r b.

#include <algorithm>

#include "lorma/backend/host_memory.hpp"
#include "lorma/inflation/inflation.hpp"
#include "lorma/operators/operator.hpp"

namespace lorma::inline LORMA_ABI {

/// Kept from apply to vjp: U = A Y (r x b).
template <AddsIdentity Inflation, typename Backend, typename S>
class Operator<Factored, Inflation, Backend, S> {
 public:
  using Workspace = typename Backend::Workspace;

  Operator(Workspace&, const Factors<S>& f) : f_(f) {}

  static Index kept_size(Index /*n*/, Index r, Index b) { return r * b; }

  /// On the host a panel stays in cache from one product to the next; a device reads it again.
  static Work work(Action action, double n, double r, double b) {
    constexpr bool cached = OnHost<Backend>;
    const double panels = n * b * sizeof(S);
    if (action == Action::apply) {
      return {.thin = 4 * n * r * b, .bytes = (cached ? 2 : 3) * panels, .starts = 3};
    }
    return {.thin = 8 * n * r * b, .bytes = (cached ? 3 : 7) * panels, .starts = 5};
  }

  /// Columns to process at a time so that they are read from memory only once.
  Index panel() const {
    constexpr Index numbers = Backend::cache_bytes / Index(sizeof(S));
    return std::max<Index>(16, numbers / f_.dim());
  }

  void apply(Workspace& workspace, const MatrixView<const S>& Y, const MatrixView<S>& out,
             S* kept = nullptr) const {
    const auto frame = workspace.frame();
    const MatrixView<S> U = project(workspace, f_.A, Y, kept);
    update(workspace, f_.B, U, Y, out);
  }

  void apply_adjoint(Workspace& workspace, const MatrixView<const S>& G,
                     const MatrixView<S>& out) const {
    const auto frame = workspace.frame();
    const MatrixView<S> V = project(workspace, f_.B.transposed(), G, nullptr);
    update(workspace, f_.A.transposed(), V, G, out);
  }

  void vjp(Workspace& workspace, const MatrixView<const S>& G, const MatrixView<const S>& Y,
           const S* kept, const MatrixView<S>& dY, const MatrixView<S>& dA, const MatrixView<S>& dB,
           bool accumulate) const {
    const auto frame = workspace.frame();
    const Accumulator<S> beta = accumulate ? 1 : 0;
    if (dB.data != nullptr) {
      const MatrixView<const S> U = kept != nullptr
                                        ? MatrixView<const S>(kept, f_.rank(), Y.cols, f_.rank())
                                        : as_const(project(workspace, f_.A, Y, nullptr));
      Backend::gemm(workspace, f_.scale, G, U.transposed(), beta, dB);
    }
    if (dA.data == nullptr && dY.data == nullptr) return;
    const MatrixView<S> V = project(workspace, f_.B.transposed(), G, nullptr);
    if (dA.data != nullptr) {
      Backend::gemm(workspace, f_.scale, as_const(V), Y.transposed(), beta, dA);
    }
    if (dY.data != nullptr) update(workspace, f_.A.transposed(), V, G, dY);
  }

 private:
  /// L X (r x b), into `kept` if given.
  MatrixView<S> project(Workspace& workspace, const MatrixView<const S>& L,
                        const MatrixView<const S>& X, S* kept) const {
    const MatrixView<S> U = kept != nullptr ? MatrixView<S>(kept, L.rows, X.cols, L.rows)
                                            : workspace.template take<S>(L.rows, X.cols);
    Backend::gemm(workspace, 1, L, X, 0, U);
    return U;
  }

  /// out = c X + s R U.
  void update(Workspace& workspace, const MatrixView<const S>& R, const MatrixView<S>& U,
              const MatrixView<const S>& X, const MatrixView<S>& out) const {
    constexpr double c = identity_multiple<Inflation>;
    if constexpr (c != 0.0) {
      if (!out.same_place(X)) Backend::copy(workspace, X, out);
    }
    Backend::gemm(workspace, f_.scale, R, as_const(U), static_cast<Accumulator<S>>(c), out);
  }

  Factors<S> f_;
};

}  // namespace lorma::inline LORMA_ABI

#endif
