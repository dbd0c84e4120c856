// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_BACKEND_BACKEND_HPP
#define LORMA_BACKEND_BACKEND_HPP

/// What an algorithm of lorma may ask of the machine: storage, one product, five elementwise
/// operations. A new backend is one file that satisfies BackendPolicy; no algorithm is rewritten.

#include <concepts>
#include <string_view>

#include "lorma/backend/cost_rates.hpp"
#include "lorma/core/view.hpp"

namespace lorma::inline LORMA_ABI {

/// Backend policy. All members are static; views point to memory of the backend.
///
///   name                              std::string_view
///   computes<S>                       whether factors and activations may be of S
///   cache_bytes                       how much is worth taking at a time
///   panel_columns(ws)                 how many columns are worth copying at a time
///   cost_rates<S>()                   CostRates of the cost model
///   Context                           where memory lies and work is queued; a handle to copy
///   Workspace                         scratch, and the context: frame(), take<S>(rows, cols,
///                                     order), take_array<S>(count)
///   make_workspace(context), context_of(x)
///   Matrix<S>                         owning storage; view(matrix) gives a MatrixView
///   resize(context, matrix, rows, cols)
///   on_host(ws, X)                    the elements for the CPU to read: a view or a Matrix; waits
///   upload(context, M, matrix)        from a matrix of the CPU
///   operand(x)                        what the caller passed, as an object with .view()
///   output(function, x)               what the caller wants written, as a MatrixView
///   empty_like(x)                     owning storage of the size, scalar and order of x
///   gemm(ws, alpha, A, B, beta, C)    C = alpha A B + beta C; C overlaps neither A nor B; A may be
///                                     of a storage-only type (half, bfloat16)
///   copy(ws, from, to)                elementwise, converting and rounding once
///   fill(ws, value, X)
///   add_identity(ws, P)               P += I
///   is_finite(ws, X)                  every element; waits for a device
/// and, where they say something:
///   place(x)                          const void*: in which of several memories a matrix, a
///                                     Workspace or a Context lies; operands of one call must agree
///   EvaluationWork<Evaluation>        what an evaluation costs here, in place of the cost model's
///                                     own count (primitives/cost_model.hpp); may be incomplete
///   CirculantSum<S>                   Spectral by the backend's own transforms
///   rotate(ws, direction, from, to)   turns rows; see inflation/cyclic_permutation.hpp
template <typename B>
concept BackendPolicy = requires {
  { B::name } -> std::convertible_to<std::string_view>;
  typename B::Context;
  typename B::Workspace;
  typename B::template Matrix<float>;
  { B::template computes<float> } -> std::convertible_to<bool>;
  { B::template cost_rates<float>() } -> std::same_as<CostRates>;
}
&&requires(typename B::Workspace& ws, MatrixView<float> out, MatrixView<const float> in,
           typename B::template Matrix<float>& matrix) {
  { B::view(matrix) } -> std::same_as<MatrixView<float>>;
  { B::panel_columns(ws) } -> std::convertible_to<Index>;
  B::gemm(ws, 1, in, in, 0, out);
  B::copy(ws, in, out);
  B::fill(ws, 0, out);
  B::add_identity(ws, out);
  { B::is_finite(ws, in) } -> std::same_as<bool>;
};

}  // namespace lorma::inline LORMA_ABI

#endif
