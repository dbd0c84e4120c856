// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TORCH_MULTIPLY_HPP
#define LORMA_TORCH_MULTIPLY_HPP

/// P = I(s B A) on the last axis of a tensor, with autograd to any order.
///
///   at::Tensor h = lorma::torch::multiply(y, B, A, alpha / r, lorma::CyclicPermutation::name);
///
/// y is [..., n] of any strides, B [n, r], A [r, n]; the result is contiguous, of y's shape and
/// type. Computed in double for double, else in float, autocast or not; factors of another type are
/// converted and get gradients of their own type. Identity and None are two products of torch's,
/// on any device; CyclicPermutation is torch/cyclic.hpp: transforms or a product on the CPU,
/// torch's own FFT on other devices. Work runs on torch's threads, results are allocated by torch.
/// Cost of b tokens: that of LoRA, and O(r b n log n). Throws c10::Error for operands that do not
/// fit.

#include <ATen/autocast_mode.h>

#include "lorma/adapter/by_name.hpp"
#include "lorma/torch/cyclic.hpp"

namespace lorma::inline LORMA_ABI::torch {

namespace detail {

/// y + s (y A^T) B^T, or without the first y; with a bias, which y carries, (y - bias) in place of
/// the second.
inline Tensor factored(const Tensor& y, const Tensor& B, const Tensor& A, double scale,
                       bool adds_identity, const Tensor& bias = {}) {
  check_operands("multiply", y, B, A);
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const Tensor in = tokens_of(y);
  const Tensor a = A.to(in.scalar_type());
  const Tensor b = B.to(in.scalar_type());
  const Tensor inner = bias.defined() ? at::addmm(-at::mv(a, bias.to(in.scalar_type())), in, a.t())
                                      : at::mm(in, a.t());
  const Tensor out =
      adds_identity ? at::addmm(in, inner, b.t(), 1, scale) : at::mm(inner * scale, b.t());
  return out.to(y.scalar_type()).view_symint(y.sym_sizes());
}

/// multiply over `Calls` (torch/cyclic.hpp).
template <typename Calls>
Tensor multiply(const Tensor& y, const Tensor& B, const Tensor& A, double scale,
                std::string_view inflation, bool adjoint) {
  Tensor result;
  lorma::detail::visit_name(AllInflations{}, "inflation", inflation, [&](auto type) {
    using Inflation = typename decltype(type)::type;
    if constexpr (TurnsRows<Inflation>) {
      result = Calls::apply(y, B, A, scale, adjoint);
    } else {  // (c I + B A)^T = c I + A^T B^T
      result = adjoint ? factored(y, A.t(), B.t(), scale, Inflation::adds_identity)
                       : factored(y, B, A, scale, Inflation::adds_identity);
    }
  });
  return result;
}

}  // namespace detail

/// P y for each token y; with `adjoint` P^T y.
inline Tensor multiply(const Tensor& y, const Tensor& B, const Tensor& A, double scale,
                       std::string_view inflation = Identity::name, bool adjoint = false) {
  return detail::multiply<detail::DirectCalls>(y, B, A, scale, inflation, adjoint);
}

}  // namespace lorma::inline LORMA_ABI::torch

#endif
