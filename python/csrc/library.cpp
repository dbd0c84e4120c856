// SPDX-License-Identifier: Apache-2.0
// The operators of lorma as torch's dispatcher knows them: torch.ops.lorma after
// torch.ops.load_library. multiply, linear and merge are composite: Identity and None are torch's
// own products, so that compilers of graphs see them; CyclicPermutation is one opaque operator with
// its gradient.
#include <torch/library.h>

#include "lorma/torch/linear.hpp"

namespace {

using at::Tensor;
using lorma::torch::CyclicGradients;
namespace kernels = lorma::torch::detail;

Tensor dispatch_apply(const Tensor& y, const Tensor& B, const Tensor& A, double scale,
                      bool adjoint) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("lorma::cyclic_apply", "")
                             .typed<decltype(dispatch_apply)>();
  return op.call(y, B, A, scale, adjoint);
}
CyclicGradients dispatch_vjp(const Tensor& g, const Tensor& y, const Tensor& B, const Tensor& A,
                             double scale, std::array<bool, 3> wanted) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("lorma::cyclic_vjp", "")
                             .typed<decltype(dispatch_vjp)>();
  return op.call(g, y, B, A, scale, wanted);
}

struct DispatchedCalls {
  static Tensor apply(const Tensor& y, const Tensor& B, const Tensor& A, double scale,
                      bool adjoint) {
    return dispatch_apply(y, B, A, scale, adjoint);
  }
  static CyclicGradients vjp(const Tensor& g, const Tensor& y, const Tensor& B, const Tensor& A,
                             double scale, std::array<bool, 3> wanted) {
    return dispatch_vjp(g, y, B, A, scale, wanted);
  }
  static Tensor plain_apply(const Tensor& y, const Tensor& B, const Tensor& A, double scale,
                            bool adjoint) {
    const at::AutoDispatchBelowADInplaceOrView below;
    return dispatch_apply(y, B, A, scale, adjoint);
  }
  static CyclicGradients plain_vjp(const Tensor& g, const Tensor& y, const Tensor& B,
                                   const Tensor& A, double scale, std::array<bool, 3> wanted) {
    const at::AutoDispatchBelowADInplaceOrView below;
    return dispatch_vjp(g, y, B, A, scale, wanted);
  }
};

Tensor apply_with_autograd(const Tensor& y, const Tensor& B, const Tensor& A, double scale,
                           bool adjoint) {
  return kernels::CyclicApply<DispatchedCalls>::apply(y, B, A, scale, adjoint);
}
CyclicGradients vjp_with_autograd(const Tensor& g, const Tensor& y, const Tensor& B,
                                  const Tensor& A, double scale, std::array<bool, 3> wanted) {
  const auto all = kernels::CyclicVjp<DispatchedCalls>::apply(g, y, B, A, scale, wanted);
  return {all[0], all[1], all[2]};
}

Tensor contiguous_like(const Tensor& t) {
  return at::empty_symint(t.sym_sizes(), t.options().memory_format(at::MemoryFormat::Contiguous));
}
Tensor apply_shape(const Tensor& y, const Tensor& B, const Tensor& A, double, bool) {
  kernels::check_operands("multiply", y, B, A);
  return contiguous_like(y);
}
CyclicGradients vjp_shapes(const Tensor& g, const Tensor& y, const Tensor& B, const Tensor& A,
                           double, std::array<bool, 3> wanted) {
  kernels::check_operands("multiply_backward", y, B, A);
  kernels::check_operands("multiply_backward", g, B, A);
  const auto shape = [&wanted](std::size_t which, const Tensor& t) {
    return wanted[which] ? contiguous_like(t) : at::empty({0}, t.options());
  };
  return {shape(0, y), shape(1, B), shape(2, A)};
}

Tensor multiply(const Tensor& y, const Tensor& B, const Tensor& A, double scale,
                std::string_view inflation, bool adjoint) {
  return kernels::multiply<DispatchedCalls>(y, B, A, scale, inflation, adjoint);
}
Tensor linear(const Tensor& x, const Tensor& W0, const std::optional<Tensor>& bias, const Tensor& B,
              const Tensor& A, double scale, std::string inflation, std::string side) {
  return kernels::linear<DispatchedCalls>(x, W0, bias.value_or(Tensor()), B, A,
                                          {scale, std::move(inflation), std::move(side)});
}
Tensor merge(const Tensor& W0, const Tensor& B, const Tensor& A, double scale,
             std::string inflation, std::string side) {
  return kernels::merge<DispatchedCalls>(W0, B, A, {scale, std::move(inflation), std::move(side)});
}
Tensor unmerge(const Tensor& W, const Tensor& B, const Tensor& A, double scale,
               std::string inflation, std::string side) {
  return lorma::torch::unmerge(W, B, A, {scale, std::move(inflation), std::move(side)});
}

}  // namespace

TORCH_LIBRARY(lorma, m) {
  m.def(
      "multiply(Tensor y, Tensor B, Tensor A, float scale, str inflation=\"Identity\", "
      "bool adjoint=False) -> Tensor",
      torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, TORCH_FN(multiply)));
  m.def(
      "linear(Tensor x, Tensor W0, Tensor? bias, Tensor B, Tensor A, float scale, "
      "str inflation=\"Identity\", str side=\"Pre\") -> Tensor",
      torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, TORCH_FN(linear)));
  m.def(
      "merge(Tensor W0, Tensor B, Tensor A, float scale, str inflation=\"Identity\", "
      "str side=\"Pre\") -> Tensor",
      torch::dispatch(c10::DispatchKey::CompositeImplicitAutograd, TORCH_FN(merge)));
  m.def(
      "unmerge(Tensor W, Tensor B, Tensor A, float scale, str inflation=\"Identity\", "
      "str side=\"Pre\") -> Tensor",
      torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, TORCH_FN(unmerge)));
  m.def("cyclic_apply(Tensor y, Tensor B, Tensor A, float scale, bool adjoint=False) -> Tensor");
  m.def(
      "cyclic_vjp(Tensor g, Tensor y, Tensor B, Tensor A, float scale, bool[3] wanted) -> "
      "(Tensor, Tensor, Tensor)");
}
TORCH_LIBRARY_IMPL(lorma, CompositeExplicitAutograd, m) {
  m.impl("cyclic_apply", TORCH_FN(kernels::cyclic_apply_kernel));
  m.impl("cyclic_vjp", TORCH_FN(kernels::cyclic_vjp_kernel));
}
TORCH_LIBRARY_IMPL(lorma, Meta, m) {
  m.impl("cyclic_apply", TORCH_FN(apply_shape));
  m.impl("cyclic_vjp", TORCH_FN(vjp_shapes));
}
TORCH_LIBRARY_IMPL(lorma, Autograd, m) {
  m.impl("cyclic_apply", TORCH_FN(apply_with_autograd));
  m.impl("cyclic_vjp", TORCH_FN(vjp_with_autograd));
}
