// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_BACKEND_BACKEND_HPP
#define LORMA_BACKEND_BACKEND_HPP

/// What an algorithm of lorma may ask of the machine: storage, one product, a few elementwise
/// operations. A new backend is one file that satisfies BackendPolicy; no algorithm is rewritten.
///
/// All members are static; views point to memory of the backend.
///
///   name                              std::string_view
///   computes<S>                       whether factors and activations may be of S
///   cost_rates<S>()                   CostRates of the cost model
///   cache_bytes                       bytes of operands that stay in cache while worked on
///   panel_columns(ws)                 columns worth copying at a time
///   gemm(ws, alpha, A, B, beta, C)    C = alpha A B + beta C; C overlaps neither A nor B; A may be
///                                     of a storage-only type (half, bfloat16)
///   gemm_grouped(ws, alpha, A, B, beta, C)    the same for vectors of operands
///   copy(ws, from, to)                elementwise, converting and rounding once
///   add(ws, from, to)                 to += from
///   fill(ws, value, X)
///   add_identity(ws, c, P)            P += c I
///   is_finite(ws, X)                  every element; waits for a device
/// and, where memory is not that of the process (else by deriving from HostMemoryBackend):
///   Context                           what owns memory and queues work; a handle to copy
///   Workspace                         scratch, and the context: frame(), take<S>(rows, cols,
///                                     order), take_array<S>(count)
///   Matrix<S>                         owning storage; view(matrix) gives a MatrixView
///   make_workspace(context), context_of(x), resize(context, matrix, rows, cols)
///   on_host(ws, X)                    the elements for the CPU, a Readable; waits
///   upload(context, M, matrix)        from a matrix of the CPU
///   takes<X>(), lies(x), copy_of<S>(function, name, lies), empty_like(x)    for the door, and
///   max_dimension                     the largest size or leading dimension that gemm takes
/// and, where they say something:
///   context_id(x)                     const void*: which of several contexts a matrix, a Workspace
///                                     or a Context belongs to; operands of one call must agree
///   rotates<S>, rotate(ws, direction, from, to)   turns rows; see
///                                     inflation/cyclic_permutation.hpp

#include <concepts>
#include <string_view>
#include <vector>

#include "lorma/backend/cost_rates.hpp"
#include "lorma/core/types.hpp"
#include "lorma/core/view.hpp"

namespace lorma::inline LORMA_ABI {

namespace detail {

/// One concept a member, so that a missing one is named by its own sentence.
template <typename B>
concept BackendNames = requires {
  { B::name } -> std::convertible_to<std::string_view>;
};
template <typename B>
concept BackendStores = requires {
  typename B::Context;
  typename B::Workspace;
  typename B::template Matrix<float>;
};
template <typename B>
concept BackendViews = BackendStores<B> && requires(typename B::template Matrix<float>& matrix) {
  { B::view(matrix) } -> std::same_as<MatrixView<float>>;
};
template <typename B>
concept BackendComputes = requires {
  { B::template computes<float> } -> std::convertible_to<bool>;
};
template <typename B>
concept BackendRates = requires {
  { B::template cost_rates<float>() } -> std::same_as<CostRates>;
};
template <typename B>
concept BackendPanels = BackendStores<B> && requires(typename B::Workspace& ws) {
  { B::cache_bytes } -> std::convertible_to<Index>;
  { B::panel_columns(ws) } -> std::convertible_to<Index>;
};
template <typename B>
concept BackendMoves = BackendStores<B> &&
    requires(typename B::Workspace& ws, typename B::template Matrix<float>& matrix,
             const typename B::Context& context, MatrixView<const float> view,
             const lorma::Matrix<float>& host) {
  B::make_workspace(context);
  B::resize(context, matrix, 1, 1);
  B::on_host(ws, view);
  B::upload(context, host, matrix);
};
template <typename B, typename Workspace>
concept BackendGroups = requires(Workspace& ws, std::vector<float> scales,
                                 std::vector<MatrixView<const float>> in,
                                 std::vector<MatrixView<float>> out) {
  B::template gemm_grouped<float>(ws, scales, in, in, 0, out);
};
template <typename B, typename Workspace>
concept BackendMultiplies = requires(Workspace& ws, MatrixView<float> out,
                                     MatrixView<const float> in) {
  B::gemm(ws, 1, in, in, 0, out);
};
template <typename B, typename Workspace>
concept BackendCopies = requires(Workspace& ws, MatrixView<float> out, MatrixView<const float> in) {
  B::copy(ws, in, out);
};
template <typename B, typename Workspace>
concept BackendAdds = requires(Workspace& ws, MatrixView<float> out, MatrixView<const float> in) {
  B::add(ws, in, out);
};
template <typename B, typename Workspace>
concept BackendFills = requires(Workspace& ws, MatrixView<float> out) {
  B::fill(ws, 0, out);
};
template <typename B, typename Workspace>
concept BackendAddsIdentity = requires(Workspace& ws, MatrixView<float> out) {
  B::add_identity(ws, 1, out);
};
template <typename B, typename Workspace>
concept BackendIsFinite = requires(Workspace& ws, MatrixView<const float> in) {
  { B::is_finite(ws, in) } -> std::same_as<bool>;
};

}  // namespace detail

/// What the list at the top of this file asks of every backend.
template <typename B>
concept BackendPolicy = detail::BackendNames<B> && detail::BackendStores<B> &&
    detail::BackendViews<B> && detail::BackendComputes<B> && detail::BackendRates<B> &&
    detail::BackendPanels<B> && detail::BackendMultiplies<B, typename B::Workspace> &&
    detail::BackendCopies<B, typename B::Workspace> &&
    detail::BackendAdds<B, typename B::Workspace> &&
    detail::BackendFills<B, typename B::Workspace> &&
    detail::BackendAddsIdentity<B, typename B::Workspace> &&
    detail::BackendIsFinite<B, typename B::Workspace>;

namespace detail {

/// For what names itself a backend: the sentence of each member that is missing.
template <typename B, bool known = BackendNames<B>>
struct CheckBackend {
  static_assert(known,
                "lorma: Backend must satisfy BackendPolicy (EigenCpu, or CuBlas from "
                "lorma/cublas.hpp)");
  static constexpr bool ok = known;
};
template <typename B>
struct CheckBackend<B, true> {
  static_assert(
      BackendStores<B>,
      "lorma: the Backend needs the types Context, Workspace and Matrix<S>; one in memory "
      "of the process derives from HostMemoryBackend");
  template <typename T, bool = BackendStores<T>>
  struct WorkspaceOf {
    using type = int;
  };
  template <typename T>
  struct WorkspaceOf<T, true> {
    using type = typename T::Workspace;
  };
  using W = typename WorkspaceOf<B>::type;
  static constexpr bool stores = BackendStores<B>;
  static_assert(!stores || BackendViews<B>,
                "lorma: the Backend needs `static MatrixView<S> view(Matrix<S>&)`");
  static_assert(BackendComputes<B>,
                "lorma: the Backend needs `template <class S> static constexpr bool computes`");
  static_assert(BackendRates<B>,
                "lorma: the Backend needs `template <class S> static constexpr CostRates "
                "cost_rates()`");
  static_assert(!stores || BackendPanels<B>,
                "lorma: the Backend needs `static constexpr Index cache_bytes` and `static Index "
                "panel_columns(const Workspace&)`");
  static_assert(!stores || BackendMultiplies<B, W>,
                "lorma: the Backend needs `static void gemm(Workspace&, alpha, A, B, beta, C)`");
  static_assert(!stores || BackendGroups<B, W>,
                "lorma: the Backend needs `static void gemm_grouped(Workspace&, alpha, A, B, beta, "
                "C)` for vectors of operands");
  static_assert(!stores || BackendMoves<B>,
                "lorma: the Backend needs make_workspace(context), resize(context, matrix, rows, "
                "cols), on_host(workspace, X) and upload(context, M, matrix)");
  static_assert(!stores || BackendCopies<B, W>,
                "lorma: the Backend needs `static void copy(Workspace&, from, to)`");
  static_assert(!stores || BackendAdds<B, W>,
                "lorma: the Backend needs `static void add(Workspace&, from, to)`");
  static_assert(!stores || BackendFills<B, W>,
                "lorma: the Backend needs `static void fill(Workspace&, value, X)`");
  static_assert(!stores || BackendAddsIdentity<B, W>,
                "lorma: the Backend needs `static void add_identity(Workspace&, c, P)`");
  static_assert(!stores || BackendIsFinite<B, W>,
                "lorma: the Backend needs `static bool is_finite(Workspace&, X)`");
  static constexpr bool ok = BackendPolicy<B>;
};

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI

#endif
