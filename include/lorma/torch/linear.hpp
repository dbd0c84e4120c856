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

}  // namespace detail

/// h [..., d].
inline Tensor linear(const Tensor& x, const Tensor& W0, const Tensor& bias, const Tensor& B,
                     const Tensor& A, const LinearOptions& options) {
  if (!detail::is_pre(options)) {
    return at::linear(multiply(x, B, A, options.scale, options.inflation), W0, bias);
  }
  const Tensor h = multiply(at::linear(x, W0), B, A, options.scale, options.inflation);
  return bias.defined() ? h + bias : h;
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
