// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TORCH_LINEAR_HPP
#define LORMA_TORCH_LINEAR_HPP

/// A frozen linear layer with an adapter, and the weight that replaces both.
///
///   auto h = lorma::torch::linear(x, W0, bias, B, A, {.scale = 2.0, .side = "Post"});
///   auto W = lorma::torch::merge(W0, B, A, {.scale = 2.0, .side = "Post"});   // W0 as it was
///
/// x [..., k], W0 [d, k] as torch's Linear has it, bias [d] or undefined, added after P and never
/// multiplied by it. Side Pre: W = P W0, n = d; Post: W = W0 P, n = k.

#include <c10/core/impl/LocalDispatchKeySet.h>

#include <cmath>

#include "lorma/torch/multiply.hpp"

namespace lorma::inline LORMA_ABI::torch {

struct LinearOptions {
  double scale = 1.0;  ///< s = alpha / r
  std::string inflation = std::string(Identity::name);
  std::string side = std::string(Pre::name);
};

namespace detail {

inline bool is_pre(const LinearOptions& options) {
  TORCH_CHECK(options.side == Pre::name || options.side == Post::name,
              "lorma::torch: expected side Pre or Post, got \"", options.side, "\"");
  return options.side == Pre::name;
}

template <typename Calls>
Tensor merge(const Tensor& W0, const Tensor& B, const Tensor& A, const LinearOptions& options) {
  TORCH_CHECK(W0.dim() == 2, "lorma::torch::merge: expected a weight [d, k], got ", W0.sym_sizes());
  if (is_pre(options)) {
    return multiply<Calls>(W0.t(), B, A, options.scale, options.inflation, false).t();
  }
  return multiply<Calls>(W0, B, A, options.scale, options.inflation, true);
}

/// Whether products of t are computed in another type than its own.
inline bool is_under_autocast(const Tensor& t) {
  const auto keys = c10::getAutocastRelatedKeySetFromBackend(t.key_set().highestBackendKey());
  return !(keys - c10::impl::tls_local_dispatch_key_set().excluded_).empty();
}

/// A layer and its adapter, whose order of products is ours to choose.
struct LinearOperands {
  const Tensor& x;
  const Tensor& W0;
  const Tensor& bias;
  const Tensor& B;
  const Tensor& A;
  double scale;

  c10::SymInt tokens() const { return x.sym_numel() / x.sym_size(-1); }
  std::int64_t outputs() const { return known(W0.sym_size(0)); }
  std::int64_t inputs() const { return known(W0.sym_size(1)); }
  std::int64_t dim() const { return known(B.sym_size(0)); }
  std::int64_t rank() const { return known(B.sym_size(1)); }

  /// The extents of weights and factors are constants of a compiled graph, those of x are not.
  static std::int64_t known(const c10::SymInt& extent) {
    return extent.guard_int(__FILE__, __LINE__);
  }

  /// Products of operands of several types, or of narrow ones, would round more than multiply.
  bool are_of_one_type() const {
    const auto type = compute_type(x);
    return x.scalar_type() == type && W0.scalar_type() == type && B.scalar_type() == type &&
           A.scalar_type() == type && !is_under_autocast(x);
  }
};

/// P (W0 x) + bias of LoRMA+ as x W0^T + bias + s (x (A W0)^T) B^T. Keeps x and r numbers a token
/// for backward, as LoRA does, where multiply keeps W0 x. Costs 2 r d k operations more, forward
/// and again backward.
inline Tensor plus_by_inputs(const LinearOperands& on) {
  const Tensor tokens = on.x.reshape_symint({on.tokens(), on.x.sym_size(-1)});
  const Tensor h = at::linear(tokens, on.W0, on.bias);
  const Tensor inner = at::mm(tokens, at::mm(on.A, on.W0).t());
  auto shape = on.x.sym_sizes().vec();
  shape.back() = on.W0.sym_size(0);
  return at::addmm(h, inner, on.B.t(), 1, on.scale).view_symint(shape);
}

/// Whether plus_by_inputs takes no more time than multiply, forward and backward together: for many
/// tokens, or for a weight that caches hold.
inline bool is_for_inputs(const LinearOperands& on) {
  constexpr std::int64_t cached = 768 * 768;
  return on.tokens() >= 2 * on.outputs() ||
         (on.outputs() * on.inputs() <= cached && on.tokens() >= 16 * on.rank());
}

/// The layer of the weight P W0, or W0 P, of LoRMA_pi, which is formed first. Costs products of
/// whole weights, about 5.5 n times the elements of W0 forward and backward, whatever the rank, and
/// the memory of the gradient of a whole weight.
inline Tensor pi_by_whole_weight(const LinearOperands& on, bool pre) {
  const std::int64_t n = on.dim();
  const Tensor M = on.scale * at::mm(on.B, on.A);
  // Row i of M turned right by i is read from two copies of M side by side.
  const Tensor P = at::cat({M, M}, 1).as_strided({n, n}, {2 * n - 1, 1}, n);
  return at::linear(on.x, pre ? at::mm(P, on.W0) : at::mm(on.W0, P), on.bias);
}

/// Whether pi_by_whole_weight takes less time than multiply, forward and backward together.
/// Transforms cost 27 r n log2 n a token, in units of a product's operations (a fit of n = 384 to
/// 1024, one and two threads): narrow layers with many tokens, and large ranks, are better off with
/// products.
inline bool is_for_whole_weight(const LinearOperands& on) {
  const auto n = static_cast<double>(on.dim());
  const double numbers = static_cast<double>(on.outputs()) * static_cast<double>(on.inputs());
  const double saved = 27.0 * static_cast<double>(on.rank()) * std::log2(n) - 2.0 * numbers / n;
  return saved > 0.0 && on.tokens() > static_cast<std::int64_t>(5.5 * numbers / saved);
}

/// linear over `Calls` (torch/cyclic.hpp).
template <typename Calls>
Tensor linear(const Tensor& x, const Tensor& W0, const Tensor& bias, const Tensor& B,
              const Tensor& A, const LinearOptions& options) {
  const bool pre = is_pre(options);
  TORCH_CHECK(
      W0.dim() == 2 && x.dim() >= 1 && x.sym_size(-1) == W0.sym_size(1) && W0.sym_size(1) > 0,
      "lorma::torch::linear: expected x [..., k] and W0 [d, k] with k >= 1, got ", x.sym_sizes(),
      ", ", W0.sym_sizes());
  check_operands("linear", pre ? W0.t() : W0, B, A);
  const LinearOperands on{x, W0, bias, B, A, options.scale};
  const bool is_plus = options.inflation == Identity::name;
  const bool is_ours = on.are_of_one_type();
  if (is_ours && options.inflation == CyclicPermutation::name && is_for_whole_weight(on)) {
    return pi_by_whole_weight(on, pre);
  }
  if (!pre) {
    return at::linear(multiply<Calls>(x, B, A, options.scale, options.inflation, false), W0, bias);
  }
  if (is_ours && is_plus && is_for_inputs(on)) return plus_by_inputs(on);
  if (is_plus) return factored(at::linear(x, W0, bias), B, A, options.scale, true, bias);
  Tensor h = multiply<Calls>(at::linear(x, W0), B, A, options.scale, options.inflation, false);
  return bias.defined() ? h.add_(bias) : h;
}

}  // namespace detail

/// h [..., d] of the type of x, with autograd to any order. By multiply before or after the layer,
/// or by another order of the same products where it takes less time: LoRMA_pi by its whole weight,
/// LoRMA+ by A W0. Throws c10::Error for operands that do not fit.
inline Tensor linear(const Tensor& x, const Tensor& W0, const Tensor& bias, const Tensor& B,
                     const Tensor& A, const LinearOptions& options) {
  return detail::linear<detail::DirectCalls>(x, W0, bias, B, A, options);
}

/// P W0 or W0 P, of W0's type, computed in float or double and rounded once.
inline Tensor merge(const Tensor& W0, const Tensor& B, const Tensor& A,
                    const LinearOptions& options) {
  return detail::merge<detail::DirectCalls>(W0, B, A, options);
}

/// P^-1 W or W P^-1, of W's type: what was merged is taken out again, to a rounding error times the
/// condition number of P. Computed in double on the CPU, without gradients. Throws RankDeficient
/// when no digit would survive, c10::Error for operands that do not fit.
inline Tensor unmerge(const Tensor& W, const Tensor& B, const Tensor& A,
                      const LinearOptions& options) {
  TORCH_CHECK(W.dim() == 2, "lorma::torch::unmerge: expected a weight [d, k], got ", W.sizes());
  detail::check_operands("unmerge", detail::is_pre(options) ? W.t() : W, B, A);
  const auto wide = [](const Tensor& t) {
    return t.detach().to(at::kCPU, at::kDouble).contiguous();
  };
  const Tensor out = wide(W).clone();
  const Tensor b = wide(B);
  const Tensor a = wide(A);
  const double epsilon = W.scalar_type() == at::kHalf       ? epsilon_of<Eigen::half>()
                         : W.scalar_type() == at::kBFloat16 ? epsilon_of<Eigen::bfloat16>()
                         : W.scalar_type() == at::kFloat    ? epsilon_of<float>()
                                                            : epsilon_of<double>();
  const auto run = [&]<typename Inflation, typename Side>(Inflation, Side) {
    const AdapterView<double, Inflation, Auto, Side> p(
        detail::tensor_matrix<double>(b), detail::tensor_matrix<double>(a), options.scale);
    detail::Scratch scratch;
    p.unmerge_in_place(detail::contiguous_matrix<double>(out), scratch.workspace(),
                       Finiteness::unchecked, epsilon);
  };
  lorma::detail::visit_name(AllInflations{}, "inflation", options.inflation, [&](auto type) {
    using Inflation = typename decltype(type)::type;
    detail::is_pre(options) ? run(Inflation{}, Pre{}) : run(Inflation{}, Post{});
  });
  return out.to(W.options());
}

}  // namespace lorma::inline LORMA_ABI::torch

#endif
