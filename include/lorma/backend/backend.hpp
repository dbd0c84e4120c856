// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_BACKEND_BACKEND_HPP
#define LORMA_BACKEND_BACKEND_HPP

/// What an algorithm of lorma may ask of the machine: storage, one product, five elementwise
/// operations. A new backend is one file that satisfies BackendPolicy; no algorithm is rewritten.

#include <concepts>
#include <string_view>

#include "lorma/core/view.hpp"

namespace lorma::inline LORMA_ABI {

/// Backend policy. All members are static; views point to memory of the backend.
///
///   name                              std::string_view
///   Workspace                         scratch and, for devices, the stream: frame(), take<S>(rows,
///                                     cols, order), take_array<S>(count)
///   Matrix<S>                         owning storage, resizable; view(matrix) gives a MatrixView
///   operand(x)                        what the caller passed, as an object with .view()
///   output(function, x)               what the caller wants written, as a MatrixView
///   empty_like(x)                     owning storage of the size, scalar and order of x
///   gemm(ws, alpha, A, B, beta, C)    C = alpha A B + beta C; C overlaps neither A nor B; A may be
///                                     of a storage-only type (half, bfloat16)
///   copy(ws, from, to)                elementwise, converting and rounding once
///   fill(ws, value, X)
///   add_identity(ws, P)               P += I
///   is_finite(ws, X)                  every element; waits for a device
template <typename B>
concept BackendPolicy = requires {
  { B::name } -> std::convertible_to<std::string_view>;
  typename B::Workspace;
  typename B::template Matrix<float>;
}
&&requires(typename B::Workspace& ws, MatrixView<float> out, MatrixView<const float> in,
           typename B::template Matrix<float>& matrix) {
  { B::view(matrix) } -> std::same_as<MatrixView<float>>;
  B::gemm(ws, 1.0F, in, in, 0.0F, out);
  B::copy(ws, in, out);
  B::fill(ws, 0.0F, out);
  B::add_identity(ws, out);
  { B::is_finite(ws, in) } -> std::same_as<bool>;
};

}  // namespace lorma::inline LORMA_ABI

#endif
