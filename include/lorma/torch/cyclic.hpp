// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TORCH_CYCLIC_HPP
#define LORMA_TORCH_CYCLIC_HPP

/// LoRMA_pi on tensors, P = sum_q diag(s B_q) C(A_q), without and with autograd.
///
/// Tensors of the CPU go through Spectral or Dense, as Auto says; those of NVIDIA GPUs too where
/// LORMA_TORCH_CUBLAS is defined (torch/cublas.hpp); those of other devices through torch's own
/// FFT. P is linear in y, in B and in A, so that gradients of gradients are sums of the same two
/// questions and autograd may be asked for any order.

#include <torch/csrc/autograd/custom_function.h>

#include "lorma/torch/tensors.hpp"
#ifdef LORMA_TORCH_CUBLAS
#include "lorma/torch/cublas.hpp"
#endif

namespace lorma::inline LORMA_ABI::torch {

/// Gradients in y, B and A; one that is not wanted is a tensor of no elements.
using CyclicGradients = std::tuple<Tensor, Tensor, Tensor>;

namespace detail {

/// \name Without autograd
///@{

/// Calls f(S()) for the scalar that y is computed in.
template <typename F>
void with_scalar(const Tensor& y, F&& f) {
  compute_type(y) == at::kDouble ? f(double()) : f(float());
}

/// P y or P^T y by torch's FFT, for any device: y [b, n].
inline Tensor cyclic_apply_by_torch(const Tensor& y, const Tensor& B, const Tensor& A, double scale,
                                    bool adjoint) {
  const auto n = y.size(1);
  const Tensor a = at::fft_rfft(A);
  const Tensor weights = scale * B.t();
  Tensor sum;
  const Tensor spectrum = adjoint ? Tensor() : at::fft_rfft(y);
  for (std::int64_t q = 0; q < A.size(0); ++q) {
    Tensor term = adjoint ? at::fft_rfft(weights[q] * y) * a[q]
                          : weights[q] * at::fft_irfft(spectrum * a[q].conj(), n);
    sum = sum.defined() ? sum.add_(term) : std::move(term);
  }
  return adjoint ? at::fft_irfft(sum, n) : sum;
}

inline CyclicGradients cyclic_vjp_by_torch(const Tensor& g, const Tensor& y, const Tensor& B,
                                           const Tensor& A, double scale) {
  const auto n = y.size(1);
  const Tensor a = at::fft_rfft(A);
  const Tensor spectrum = at::fft_rfft(y);
  const Tensor weights = scale * B.t();
  std::vector<Tensor> dA;
  std::vector<Tensor> dB;
  for (std::int64_t q = 0; q < A.size(0); ++q) {
    dA.push_back(at::fft_irfft((at::fft_rfft(weights[q] * g).conj() * spectrum).sum(0), n));
    dB.push_back((g * at::fft_irfft(spectrum * a[q].conj(), n)).sum(0) * scale);
  }
  return {cyclic_apply_by_torch(g, B, A, scale, true), at::stack(dB, 1), at::stack(dA)};
}

/// A contiguous result of `of`'s shape; of no elements where it is not wanted.
inline Tensor result_like(const Tensor& of, bool wanted = true) {
  return at::empty(wanted ? of.sizes() : at::IntArrayRef(0),
                   of.options().memory_format(at::MemoryFormat::Contiguous));
}

/// Whether lorma's own kernels take y.
inline bool has_kernels(const Tensor& y) {
#ifdef LORMA_TORCH_CUBLAS
  if (y.is_cuda()) return true;
#endif
  return y.is_cpu();
}

/// P y (or P^T y) along the last axis, contiguous, of y's type.
inline Tensor cyclic_apply_kernel(const Tensor& y, const Tensor& B, const Tensor& A, double scale,
                                  bool adjoint) {
  check_operands("multiply", y, B, A);
  const Tensor in = tokens_of(y);
  const Tensor b = B.to(in.scalar_type());
  const Tensor a = A.to(in.scalar_type());
  // No view, which autograd would not let the caller change in place.
  const auto as_y = [&y](const Tensor& h) {
    return at::_unsafe_view(h.to(y.scalar_type()), y.sizes());
  };
  if (!has_kernels(y)) return as_y(cyclic_apply_by_torch(in, b, a, scale, adjoint));
  const Tensor out = result_like(in);
  with_scalar(y, [&]<typename S>(S) {
#ifdef LORMA_TORCH_CUBLAS
    if (y.is_cuda()) {
      cyclic_apply_by_cublas<S>(in.contiguous(), b.contiguous(), a.contiguous(), scale, adjoint,
                                out);
      return;
    }
#endif
    const AdapterView<S, CyclicPermutation> p(tensor_matrix<S>(b), tensor_matrix<S>(a),
                                              static_cast<S>(scale));
    Scratch scratch;
    const MatrixView<S> to = contiguous_matrix<S>(out).transposed();
    adjoint ? p.apply_adjoint_into(to, tensor_matrix<S>(in.t()), scratch.workspace())
            : p.apply_into(to, tensor_matrix<S>(in.t()), scratch.workspace());
  });
  return as_y(out);
}

/// Gradients of <g, P y> for g and y [b, n], all of one scalar; by torch's FFT also those that are
/// not wanted.
inline CyclicGradients cyclic_vjp_of_tokens(const Tensor& g, const Tensor& y, const Tensor& B,
                                            const Tensor& A, double scale,
                                            std::array<bool, 3> wanted) {
  if (!has_kernels(y)) return cyclic_vjp_by_torch(g, y, B, A, scale);
  const Tensor dY = result_like(y, wanted[0]);
  const Tensor dB = result_like(B, wanted[1]);
  const Tensor dA = result_like(A, wanted[2]);
  with_scalar(y, [&]<typename S>(S) {
#ifdef LORMA_TORCH_CUBLAS
    if (y.is_cuda()) {
      cyclic_vjp_by_cublas<S>(g.contiguous(), y.contiguous(), B.contiguous(), A.contiguous(), scale,
                              dY, dB, dA, wanted);
      return;
    }
#endif
    const AdapterView<S, CyclicPermutation> p(tensor_matrix<S>(B), tensor_matrix<S>(A),
                                              static_cast<S>(scale));
    Scratch scratch;
    p.vjp_into(contiguous_matrix<S>(dY, wanted[0]).transposed(),
               contiguous_matrix<S>(dA, wanted[2]), contiguous_matrix<S>(dB, wanted[1]),
               tensor_matrix<S>(y.t()), tensor_matrix<S>(g.t()), scratch.workspace());
  });
  return {dY, dB, dA};
}

/// Gradients of <g, P y> in y, B and A, contiguous, each of the type of what it is the gradient of.
inline CyclicGradients cyclic_vjp_kernel(const Tensor& g, const Tensor& y, const Tensor& B,
                                         const Tensor& A, double scale,
                                         std::array<bool, 3> wanted) {
  check_operands("multiply_backward", y, B, A);
  check_operands("multiply_backward", g, B, A);
  TORCH_CHECK(g.sizes() == y.sizes(), "lorma::torch::multiply_backward: expected g of y's shape ",
              y.sizes(), ", got ", g.sizes());
  const Tensor in = tokens_of(y);
  const auto type = in.scalar_type();
  const auto all =
      cyclic_vjp_of_tokens(tokens_of(g).to(type), in, B.to(type), A.to(type), scale, wanted);
  const auto as = [](const Tensor& gradient, const Tensor& of, bool is_wanted) {
    return is_wanted ? gradient.to(of.scalar_type()).view(of.sizes()) : result_like(of, false);
  };
  return {as(std::get<0>(all), y, wanted[0]), as(std::get<1>(all), B, wanted[1]),
          as(std::get<2>(all), A, wanted[2])};
}
///@}

/// \name With autograd, over `Calls`: who answers the two questions, with autograd (apply, vjp) and
/// below it (plain_apply, plain_vjp).
///@{

template <typename Calls>
class CyclicVjp : public ::torch::autograd::Function<CyclicVjp<Calls>> {
  using Context = ::torch::autograd::AutogradContext;
  using List = ::torch::autograd::variable_list;

 public:
  static List forward(Context* context, const Tensor& g, const Tensor& y, const Tensor& B,
                      const Tensor& A, double scale, std::array<bool, 3> wanted) {
    context->save_for_backward({g, y, B, A});
    context->saved_data["scale"] = scale;
    context->saved_data["wanted"] = c10::List<bool>({wanted[0], wanted[1], wanted[2]});
    context->set_materialize_grads(false);
    auto [dY, dB, dA] = Calls::plain_vjp(g, y, B, A, scale, wanted);
    return {dY, dB, dA};
  }

  /// <uY, P(B,A)^T g> + <P(uB,A) y, g> + <P(B,uA) y, g>; the last two are P([uB B], [A uA]).
  static List backward(Context* context, const List& u) {
    const auto saved = context->get_saved_variables();
    const Tensor &g = saved[0], &y = saved[1], &B = saved[2], &A = saved[3];
    const double scale = context->saved_data["scale"].toDouble();
    const auto wanted = context->saved_data["wanted"].toBoolList();
    const auto given = [&](std::size_t i) { return u[i].defined() && wanted.get(i); };
    Tensor in_g, in_y, in_B, in_A;
    const auto add = [](Tensor& to, const Tensor& term) { to = to.defined() ? to + term : term; };
    if (given(0)) {
      in_g = Calls::apply(u[0], B, A, scale, false);
      std::tie(std::ignore, in_B, in_A) = Calls::vjp(g, u[0], B, A, scale, {false, true, true});
    }
    if (given(1) || given(2)) {
      const Tensor both_B = at::cat({given(1) ? u[1] : at::zeros_like(B), B}, 1);
      const Tensor both_A = at::cat({A, given(2) ? u[2] : at::zeros_like(A)}, 0);
      add(in_g, Calls::apply(y, both_B, both_A, scale, false));
      in_y = Calls::apply(g, both_B, both_A, scale, true);
      const auto both = Calls::vjp(g, y, both_B, both_A, scale, {false, true, true});
      add(in_B, std::get<1>(both).slice_symint(1, B.sym_size(1)));
      add(in_A, std::get<2>(both).slice_symint(0, 0, A.sym_size(0)));
    }
    return {in_g, in_y, in_B, in_A, Tensor(), Tensor()};
  }
};

template <typename Calls>
class CyclicApply : public ::torch::autograd::Function<CyclicApply<Calls>> {
  using Context = ::torch::autograd::AutogradContext;
  using List = ::torch::autograd::variable_list;

 public:
  static Tensor forward(Context* context, const Tensor& y, const Tensor& B, const Tensor& A,
                        double scale, bool adjoint) {
    context->save_for_backward({y, B, A});
    context->saved_data["scale"] = scale;
    context->saved_data["adjoint"] = adjoint;
    return Calls::plain_apply(y, B, A, scale, adjoint);
  }

  static List backward(Context* context, const List& gradients) {
    const auto saved = context->get_saved_variables();
    const double scale = context->saved_data["scale"].toDouble();
    const bool adjoint = context->saved_data["adjoint"].toBool();
    const Tensor &g = gradients[0], &y = saved[0], &B = saved[1], &A = saved[2];
    const std::array<bool, 3> wanted{context->needs_input_grad(0), context->needs_input_grad(1),
                                     context->needs_input_grad(2)};
    Tensor dY, dB, dA;
    if (adjoint) {  // <g, P^T y> = <P g, y>
      if (wanted[0]) dY = Calls::apply(g, B, A, scale, false);
      if (wanted[1] || wanted[2]) {
        std::tie(std::ignore, dB, dA) =
            Calls::vjp(y, g, B, A, scale, {false, wanted[1], wanted[2]});
      }
    } else if (wanted[1] || wanted[2]) {
      std::tie(dY, dB, dA) = Calls::vjp(g, y, B, A, scale, wanted);
    } else if (wanted[0]) {
      dY = Calls::apply(g, B, A, scale, true);
    }
    return {wanted[0] ? dY : Tensor(), wanted[1] ? dB : Tensor(), wanted[2] ? dA : Tensor(),
            Tensor(), Tensor()};
  }
};

/// The kernels themselves, for programs without the registered operators.
struct DirectCalls {
  static Tensor plain_apply(const Tensor& y, const Tensor& B, const Tensor& A, double scale,
                            bool adjoint) {
    return cyclic_apply_kernel(y, B, A, scale, adjoint);
  }
  static CyclicGradients plain_vjp(const Tensor& g, const Tensor& y, const Tensor& B,
                                   const Tensor& A, double scale, std::array<bool, 3> wanted) {
    return cyclic_vjp_kernel(g, y, B, A, scale, wanted);
  }
  static Tensor apply(const Tensor& y, const Tensor& B, const Tensor& A, double scale,
                      bool adjoint) {
    return CyclicApply<DirectCalls>::apply(y, B, A, scale, adjoint);
  }
  static CyclicGradients vjp(const Tensor& g, const Tensor& y, const Tensor& B, const Tensor& A,
                             double scale, std::array<bool, 3> wanted) {
    const auto all = CyclicVjp<DirectCalls>::apply(g, y, B, A, scale, wanted);
    return {all[0], all[1], all[2]};
  }
};
///@}

}  // namespace detail
}  // namespace lorma::inline LORMA_ABI::torch

#endif
