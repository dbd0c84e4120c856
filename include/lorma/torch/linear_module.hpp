// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TORCH_LINEAR_MODULE_HPP
#define LORMA_TORCH_LINEAR_MODULE_HPP

/// A module of libtorch: a frozen linear layer whose factors learn.
///
///   lorma::torch::Linear layer(W0, bias, lorma::torch::ModuleOptions{.rank = 8, .alpha = 16});
///   torch::optim::Adam adam(layer->parameters());     // lorma_B and lorma_A alone
///   torch::Tensor h = layer->forward(x);

#include <torch/nn/module.h>
#include <torch/nn/pimpl.h>

#include <random>

#include "lorma/torch/linear.hpp"

namespace lorma::inline LORMA_ABI::torch {

struct ModuleOptions {
  std::int64_t rank = 8;
  double alpha = 8.0;
  std::string inflation = std::string(Identity::name);
  std::string side = std::string(Pre::name);
};

/// The weight W0 [d, k] and the bias (which may be undefined) are buffers, shared with the caller;
/// the factors are parameters of W0's type, or float where that is half or bfloat16, on W0's
/// device.
class LinearImpl : public ::torch::nn::Module {
 public:
  LinearImpl(const Tensor& W0, const Tensor& frozen_bias, const ModuleOptions& options)
      : options_{options.alpha / static_cast<double>(options.rank), options.inflation,
                 options.side} {
    TORCH_CHECK(W0.dim() == 2 && options.rank > 0 && options.alpha > 0,
                "lorma::torch::Linear: expected W0 [d, k], rank and alpha above 0, got ",
                W0.sizes(), ", ", options.rank, ", ", options.alpha);
    weight = register_buffer("weight", W0.detach());
    bias = register_buffer("bias", frozen_bias.defined() ? frozen_bias.detach() : frozen_bias);
    const auto n = W0.size(detail::is_pre(options_) ? 0 : 1);
    const auto numbers = W0.options().dtype(detail::compute_type(W0));
    lorma_B = register_parameter("lorma_B", at::zeros({n, options.rank}, numbers));
    lorma_A = register_parameter("lorma_A", at::zeros({options.rank, n}, numbers));
    reset_parameters();
  }

  /// The start of training that the inflation wants, from torch's generator.
  void reset_parameters() {
    const at::NoGradGuard no_gradients;
    std::mt19937_64 urbg(static_cast<std::uint64_t>(
        at::randint(std::numeric_limits<std::int64_t>::max(), {1}, at::kLong)
            .item<std::int64_t>()));
    const auto start = [](const Tensor& like) {
      return at::zeros(like.sizes(), at::TensorOptions(at::kDouble));
    };
    const Tensor B = start(lorma_B);
    const Tensor A = start(lorma_A);
    lorma::detail::visit_name(AllInflations{}, "inflation", options_.inflation, [&](auto type) {
      decltype(type)::type::initialize(detail::contiguous_matrix<double>(B),
                                       detail::contiguous_matrix<double>(A), options_.scale, urbg);
    });
    lorma_B.copy_(B);
    lorma_A.copy_(A);
  }

  Tensor forward(const Tensor& x) { return linear(x, weight, bias, lorma_B, lorma_A, options_); }
  /// The weight of the plain layer that computes the same.
  Tensor merged_weight() const {
    const at::NoGradGuard no_gradients;
    return merge(weight, lorma_B, lorma_A, options_);
  }

  Tensor weight;
  Tensor bias;
  Tensor lorma_B;
  Tensor lorma_A;

 private:
  LinearOptions options_;
};

/// Shared ownership of a LinearImpl, as torch's modules have it.
class Linear : public ::torch::nn::ModuleHolder<LinearImpl> {
 public:
  using Impl = LinearImpl;
  using ::torch::nn::ModuleHolder<LinearImpl>::ModuleHolder;
};

}  // namespace lorma::inline LORMA_ABI::torch

#endif
