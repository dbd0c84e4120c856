// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_PRIMITIVES_LINEAR_OPERATOR_HPP
#define LORMA_PRIMITIVES_LINEAR_OPERATOR_HPP

/// The frozen weight W0 (d x k) as the algorithms see it: entries, or only an action.
///
/// A quantized or sharded base needs no more than
///   struct Base {
///     lorma::Index rows() const; lorma::Index cols() const;      // d, k
///     auto apply(const auto& X) const;                           // W0 X,   d x b
///     auto apply_adjoint(const auto& G) const;                   // W0^T G, k x b
///   };
/// X and G arrive as Eigen Maps; results are Eigen expressions of the adapter's scalar.

#include <concepts>

#include "lorma/backend/eigen_cpu.hpp"
#include "lorma/core/error.hpp"

namespace lorma::inline LORMA_ABI {

template <typename W, typename S>
concept LinearOperator = !EigenDense<W> && requires(const W& w, const Matrix<S>& x) {
  { w.rows() } -> std::convertible_to<Index>;
  { w.cols() } -> std::convertible_to<Index>;
  w.apply(x);
  w.apply_adjoint(x);
};

namespace detail {

/// W0 by its entries, in memory of the backend; T may be a storage-only type.
template <typename Backend, typename T>
struct EntriesBase {
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
                        const MatrixView<S>& out) const {
    Backend::gemm(workspace, 1, W.transposed(), G, 0, out);
  }
};

/// W0 by its action alone.
template <typename W0>
struct ActionBase {
  static constexpr bool has_entries = false;
  const W0& w;

  Index rows() const { return w.rows(); }
  Index cols() const { return w.cols(); }

  template <typename Workspace, typename S>
  void multiply(Workspace&, const MatrixView<const S>& X, const MatrixView<S>& out) const {
    visit_eigen(X, [&](const auto& x) { store("apply", w.apply(x), out); });
  }
  template <typename Workspace, typename S>
  void multiply_adjoint(Workspace&, const MatrixView<const S>& G, const MatrixView<S>& out) const {
    visit_eigen(G, [&](const auto& g) { store("apply_adjoint", w.apply_adjoint(g), out); });
  }

 private:
  template <typename Result, typename S>
  static void store(std::string_view member, const Result& result, const MatrixView<S>& out) {
    check_shape(member, "the result of the base", result.rows(), result.cols(), out.rows, out.cols);
    visit_eigen(out, [&result](auto o) { o = result; });
  }
};

/// Wraps what the caller passed as W0; `operand` must outlive the result.
template <typename Backend, typename S, typename W0>
class Base {
 public:
  explicit Base(const W0& w0) : operand_(Backend::operand(w0)) {}
  auto get() const {
    using T = std::remove_cvref_t<decltype(*operand_.view().data)>;
    static_assert(StorableIn<T, S>,
                  "lorma: W0 must have the adapter's Scalar, or be half or bfloat16 with a float "
                  "adapter");
    return EntriesBase<Backend, T>{operand_.view()};
  }

 private:
  decltype(Backend::operand(std::declval<const W0&>())) operand_;
};

template <typename Backend, typename S, typename W0>
requires LinearOperator<W0, S>
class Base<Backend, S, W0> {
  static_assert(std::is_same_v<Backend, EigenCpu>,
                "lorma: a base that is only an operator is called with Eigen matrices, so it needs "
                "the backend EigenCpu");

 public:
  explicit Base(const W0& w0) : w0_(w0) {}
  ActionBase<W0> get() const { return {w0_}; }

 private:
  const W0& w0_;
};

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI

#endif
