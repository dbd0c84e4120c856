// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_BACKEND_HOST_MEMORY_HPP
#define LORMA_BACKEND_HOST_MEMORY_HPP

/// The half of a backend that follows from its memory being that of the process.
///
///   struct MyCpu : lorma::HostMemoryBackend {
///     static constexpr std::string_view name = "MyCpu";
///     // gemm, copy, add, ...: backend/backend.hpp lists what is left
///   };
/// A backend that derives from it takes Eigen expressions and MatrixViews, and gets Spectral
/// (operators/spectral.hpp) and bases that are only operators (primitives/frozen_weight.hpp).

#include "lorma/core/door.hpp"

namespace lorma::inline LORMA_ABI {

struct HostMemoryBackend {
  /// Memory of the process needs no context.
  struct Context {};
  using Workspace = lorma::Workspace;
  template <typename S>
  using Matrix = lorma::Matrix<S>;
  static constexpr Index max_dimension = detail::max_dimension;

  static Workspace make_workspace(const Context&) { return {}; }
  template <typename X>
  static Context context_of(const X&) {
    return {};
  }
  /// Elements are undefined after a change of size. Throws ShapeError for sizes that do not fit.
  /// Without memory m stays what it is: Eigen's resize would leave it pointing to what it freed.
  template <typename S>
  static void resize(const Context&, Matrix<S>& m, Index rows, Index cols) {
    if (cols > 0 && rows > std::numeric_limits<Index>::max() / Index(sizeof(S)) / cols) {
      throw ShapeError("lorma::Matrix: expected sizes whose product fits, got " +
                       detail::shape(rows, cols));
    }
    if (m.rows() != rows || m.cols() != cols) m = Matrix<S>(rows, cols);
  }
  template <typename S>
  static MatrixView<S> view(Matrix<S>& m) {
    return view_of(m);
  }
  template <typename S>
  static MatrixView<const S> view(const Matrix<S>& m) {
    return view_of(m);
  }

  /// Between memory of the backend and of the process: here the same.
  template <typename T>
  static Readable<std::remove_const_t<T>> on_host(Workspace&, const MatrixView<T>& X) {
    return Readable<std::remove_const_t<T>>(MatrixView<const std::remove_const_t<T>>(X));
  }
  template <typename S>
  static void upload(const Context&, const lorma::Matrix<S>& from, Matrix<S>& to) {
    to = from;
  }

  /// \name For the door
  ///@{
  template <typename X>
  static constexpr bool takes() {
    static_assert(HostMatrix<X>,
                  "lorma: a matrix must be an Eigen dense expression or a lorma::MatrixView");
    return HostMatrix<X>;
  }
  template <typename X>
  static auto lies(X&& x) {
    if constexpr (EigenDense<X>) {
      static_assert(detail::has_elements<std::remove_cvref_t<X>>(),
                    "lorma: an output must be a matrix, Map, Ref or block with elements in memory");
    }
    return detail::strided(x);
  }
  template <typename S, typename T>
  static lorma::Matrix<S> copy_of(std::string_view, std::string_view,
                                  const detail::Strided<T>& from) {
    return detail::copy_strided<S>(from);
  }
  /// Uninitialized owning matrix of the size and scalar of x, and of its order where its type says.
  template <typename X>
  static auto empty_like(const X& x) {
    using S = detail::scalar_of<X>;
    if constexpr (EigenDense<X>) {
      using Derived = std::remove_cvref_t<decltype(x.derived())>;
      constexpr int order = Derived::IsRowMajor ? Eigen::RowMajor : Eigen::ColMajor;
      return Eigen::Matrix<S, Eigen::Dynamic, Eigen::Dynamic, order>(x.rows(), x.cols());
    } else {
      return lorma::Matrix<S>(x.rows, x.cols);
    }
  }
  ///@}
};

/// A backend whose memory is that of the process.
template <typename B>
concept OnHost = std::derived_from<B, HostMemoryBackend>;

namespace detail {

/// Calls run(), which writes what is the caller's, after a rehearsal (Workspace::rehearsed) where
/// every function of the backend knows what that is: it says so by `using Rehearses = itself`.
template <typename Backend, typename Run>
void run_rehearsed(typename Backend::Workspace& workspace, Run&& run) {
  if constexpr (requires { requires std::same_as<typename Backend::Rehearses, Backend>; }) {
    workspace.rehearsed(run);
  } else {
    run();
  }
}

}  // namespace detail

}  // namespace lorma::inline LORMA_ABI

#endif
