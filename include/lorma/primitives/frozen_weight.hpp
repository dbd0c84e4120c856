// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_FROZEN_WEIGHT_HPP
#define LORMA_PRIMITIVES_FROZEN_WEIGHT_HPP

/// The frozen weight W0 (d x k) as the algorithms see it: entries, or only an action.
///
/// A quantized or sharded base needs only
///   struct Base {
///     lorma::Index rows() const; lorma::Index cols() const;      // d, k
///     auto apply(const auto& X) const;                           // W0 X,   d x b
///     auto apply_adjoint(const auto& G) const;                   // W0^T G, k x b
///   };
/// X and G arrive as Eigen Maps of either storage order, so the members are templates; results are
/// Eigen expressions of the adapter's scalar, and one of another shape is a ShapeError. A base that
/// also has
///     void apply_into(const auto& X, auto& out) const;
///     void apply_adjoint_into(const auto& G, auto& out) const;
/// writes into Maps over lorma's or the caller's memory, and a step with it allocates nothing.

#include <concepts>

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/core/door.hpp"

namespace lorma::inline LORMA_ABI {

namespace detail {

template <typename W>
concept HasSizes = requires(const W& w) {
  { w.rows() } -> std::convertible_to<Index>;
  { w.cols() } -> std::convertible_to<Index>;
};
template <typename W, typename S>
concept HasApply = requires(const W& w, const Matrix<S>& x) {
  w.apply(x);
};
template <typename W, typename S>
concept HasApplyAdjoint = requires(const W& w, const Matrix<S>& x) {
  w.apply_adjoint(x);
};

}  // namespace detail

/// A base that is known only by its action, for adapters of scalar S.
template <typename W, typename S>
concept LinearOperator = !HostMatrix<W> && detail::HasSizes<W> && detail::HasApply<W, S> &&
                         detail::HasApplyAdjoint<W, S>;

namespace detail {

/// W0 by its entries, in the backend's memory; T may be a storage-only type.
template <typename Backend, typename T>
struct EntriesWeight {
  static constexpr bool has_entries = true;
  MatrixView<const T> W;

  Index rows() const { return W.rows; }
  Index cols() const { return W.cols; }

  template <typename S>
  void multiply(typename Backend::Workspace& workspace, const MatrixView<const S>& X,
                const MatrixView<S>& out) const {
    Backend::gemm(workspace, 1, W, X, 0, out);
  }
  template <typename S>
  void multiply_adjoint(typename Backend::Workspace& workspace, const MatrixView<const S>& G,
                        const MatrixView<S>& out, bool accumulate) const {
    Backend::gemm(workspace, 1, W.transposed(), G, accumulate ? 1 : 0, out);
  }
};

/// W0 by its action alone.
template <typename Backend, typename W0>
struct ActionWeight {
  static constexpr bool has_entries = false;
  const W0& w;

  Index rows() const { return w.rows(); }
  Index cols() const { return w.cols(); }

  template <typename Workspace, typename S>
  void multiply(Workspace& workspace, const MatrixView<const S>& X,
                const MatrixView<S>& out) const {
    if (workspace.rehearsing()) return;
    visit_eigen(X, [&](const auto& x) {
      visit_eigen(out, [&](auto o) {
        if constexpr (requires { w.apply_into(x, o); }) {
          w.apply_into(x, o);
        } else {
          store("apply", w.apply(x), o);
        }
      });
    });
  }
  template <typename Workspace, typename S>
  void multiply_adjoint(Workspace& workspace, const MatrixView<const S>& G,
                        const MatrixView<S>& out, bool accumulate) const {
    const auto frame = workspace.frame();
    const MatrixView<S> to =
        accumulate ? workspace.template take<S>(out.rows, out.cols, out.order) : out;
    if (workspace.rehearsing()) return;
    visit_eigen(G, [&](const auto& g) {
      visit_eigen(to, [&](auto o) {
        if constexpr (requires { w.apply_adjoint_into(g, o); }) {
          w.apply_adjoint_into(g, o);
        } else {
          store("apply_adjoint", w.apply_adjoint(g), o);
        }
      });
    });
    if (accumulate) Backend::add(workspace, as_const(to), out);
  }

 private:
  template <typename Result, typename Out>
  static void store(std::string_view member, const Result& result, Out& out) {
    check_shape(member, "the result of the base", result.rows(), result.cols(), out.rows(),
                out.cols());
    out = result;
  }
};

/// Says in one sentence what a type that is almost a base lacks.
template <typename W0, typename S>
constexpr bool is_base() {
  static_assert(HasSizes<W0>,
                "lorma: W0 must be an Eigen matrix, a lorma::MatrixView, or a base, which needs "
                "`rows() const` and `cols() const`");
  static_assert(!HasSizes<W0> || HasApply<W0, S>,
                "lorma: a base that is only an operator needs `auto apply(const auto& X) const`");
  static_assert(!HasSizes<W0> || !HasApply<W0, S> || HasApplyAdjoint<W0, S>,
                "lorma: a base that is only an operator needs `auto apply_adjoint(const auto& G) "
                "const`");
  return LinearOperator<W0, S>;
}

/// A weight of a storage type that meets S is read as it is, any other as numbers of S.
template <typename T, typename S>
using stored_as = std::conditional_t<StorableIn<T, S>, T, S>;

/// Holds what the caller passed as W0, through the door; must outlive what get() returns.
template <typename Backend, typename S, typename W0>
class FrozenWeight {
  using Stored = stored_as<scalar_of<W0>, S>;

 public:
  using View = EntriesWeight<Backend, Stored>;

  FrozenWeight(Door<Backend>& door, const W0& w0) : weight_(door.template read<Stored>("W0", w0)) {}
  View get() const { return {weight_.view()}; }

 private:
  Readable<Stored> weight_;
};

template <typename Backend, typename S, typename W0>
requires(OnHost<Backend> && !HostMatrix<W0>) class FrozenWeight<Backend, S, W0> {
 public:
  using View = ActionWeight<Backend, W0>;

  FrozenWeight(Door<Backend>&, const W0& w0) : w0_(w0) { static_cast<void>(is_base<W0, S>()); }
  View get() const { return {w0_}; }

 private:
  const W0& w0_;
};

/// Refuses a base that is only an operator where the backend is on a device.
template <typename Backend, typename S, typename W0>
requires(!OnHost<Backend> && !HostMatrix<W0> &&
         LinearOperator<W0, S>) class FrozenWeight<Backend, S, W0> {
  static_assert(OnHost<Backend>,
                "lorma: a base that is only an operator is called with Eigen matrices, so it needs "
                "a backend in memory of the process (EigenCpu)");
};

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI

#endif
