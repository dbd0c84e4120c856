// SPDX-License-Identifier: Apache-2.0
// The bridge to libtorch: values and gradients against P by its definition in torch's own products.
#define DOCTEST_CONFIG_NO_SHORT_MACRO_NAMES  // torch has a CHECK of its own
#include <doctest/doctest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/utils.h>

#include "lorma/torch/linear_module.hpp"

namespace {

using at::Tensor;
using lorma::torch::LinearOptions;

const std::vector<std::string> inflations{"Identity", "CyclicPermutation", "None"};
const std::vector<std::string> sides{"Pre", "Post"};

Tensor random(at::IntArrayRef shape, double size = 1.0) {
  return size * at::randn(shape, at::kDouble);
}

/// I(s B A); entry (i, j) of CyclicPermutation is M(i, (j - i) mod n). Differentiable.
Tensor dense(const Tensor& B, const Tensor& A, double scale, const std::string& inflation) {
  const Tensor M = scale * at::mm(B, A);
  const auto n = M.size(0);
  if (inflation == "Identity") return at::eye(n, M.options()) + M;
  if (inflation == "None") return M;
  const Tensor i = at::arange(n);
  return M.gather(1, at::remainder(i.unsqueeze(0) - i.unsqueeze(1), n));
}

double error(const Tensor& a, const Tensor& b) {
  return ((a.to(at::kDouble) - b.to(at::kDouble)).norm() / b.to(at::kDouble).norm()).item<double>();
}

std::vector<Tensor> gradients(const Tensor& of, const std::vector<Tensor>& in, bool graph = false) {
  return ::torch::autograd::grad({of}, in, {}, graph, graph);
}

/// Relative errors of a few products with at most 32 terms.
constexpr double rounding = 64 * lorma::epsilon_of<double>();

}  // namespace

DOCTEST_TEST_CASE("multiply is P on the last axis, with gradients to second order") {
  ::torch::manual_seed(1);
  for (const std::string& inflation : inflations) {
    DOCTEST_CAPTURE(inflation);
    const Tensor B = random({12, 3}, 0.5).requires_grad_();
    const Tensor A = random({3, 12}, 0.5).requires_grad_();
    const Tensor y = random({2, 5, 12}).requires_grad_();
    const Tensor weight = random({2, 5, 12});
    const auto ours = [&] { return lorma::torch::multiply(y, B, A, 0.7, inflation); };
    const auto plain = [&] { return at::matmul(y, dense(B, A, 0.7, inflation).t()); };
    DOCTEST_CHECK(error(ours(), plain()) <= rounding);
    const std::vector<Tensor> in{y, B, A};
    const auto g = gradients((weight * ours().pow(2)).sum(), in, true);
    const auto want = gradients((weight * plain().pow(2)).sum(), in, true);
    for (std::size_t i = 0; i < in.size(); ++i) {
      DOCTEST_CHECK(error(g[i], want[i]) <= rounding);
      const auto second = gradients(g[i].pow(2).sum(), in, true);
      const auto want_second = gradients(want[i].pow(2).sum(), in, true);
      for (std::size_t j = 0; j < in.size(); ++j) {
        DOCTEST_CHECK(error(second[j], want_second[j]) <= 4 * rounding);
      }
    }
    const Tensor back = lorma::torch::multiply(y, B, A, 0.7, inflation, true);
    DOCTEST_CHECK(error(back, at::matmul(y, dense(B, A, 0.7, inflation))) <= rounding);
  }
}

DOCTEST_TEST_CASE("linear, merge and unmerge of both sides") {
  ::torch::manual_seed(2);
  for (const std::string& side : sides) {
    for (const std::string& inflation : inflations) {
      DOCTEST_CAPTURE(side);
      DOCTEST_CAPTURE(inflation);
      const std::int64_t d = 14;
      const std::int64_t k = 10;
      const auto n = side == "Pre" ? d : k;
      const Tensor W0 = random({d, k}).requires_grad_();
      const Tensor bias = random({d}).requires_grad_();
      const Tensor B = random({n, 2}, 0.4).requires_grad_();
      const Tensor A = random({2, n}, 0.4).requires_grad_();
      const LinearOptions options{0.5, inflation, side};
      const Tensor P = dense(B, A, 0.5, inflation);
      const Tensor W = side == "Pre" ? at::mm(P, W0) : at::mm(W0, P);
      DOCTEST_CHECK(error(lorma::torch::merge(W0, B, A, options), W) <= rounding);
      for (const std::int64_t tokens : {1, 4, 300}) {  // many tokens take other orders of products
        const Tensor x = random({tokens, k}).requires_grad_();
        const Tensor h = lorma::torch::linear(x, W0, bias, B, A, options);
        const Tensor want = at::linear(x, W, bias);
        DOCTEST_CHECK(error(h, want) <= rounding);
        DOCTEST_CHECK(error(lorma::torch::linear(x, W0, {}, B, A, options), at::linear(x, W)) <=
                      rounding);
        const auto got = gradients(h.pow(2).sum(), {x, W0, bias, B, A});
        const auto gradient = gradients(want.pow(2).sum(), {x, W0, bias, B, A}, true);
        for (std::size_t j = 0; j < got.size(); ++j) {
          DOCTEST_CHECK(error(got[j], gradient[j]) <= 4 * rounding);
        }
      }
      if (inflation == "None") {
        DOCTEST_CHECK_THROWS_AS(lorma::torch::unmerge(W, B, A, options), lorma::RankDeficient);
      } else {
        const double condition = at::linalg_cond(P).item<double>();
        DOCTEST_CHECK(error(lorma::torch::unmerge(W, B, A, options), W0) <= rounding * condition);
        const Tensor half = lorma::torch::merge(W0.to(at::kBFloat16), B, A, options);
        const bool keeps_its_type = half.scalar_type() == at::kBFloat16;
        DOCTEST_CHECK(keeps_its_type);
      }
    }
  }
}

DOCTEST_TEST_CASE("bits do not depend on the number of threads") {
  ::torch::manual_seed(3);
  const Tensor B = at::randn({384, 8});
  const Tensor A = at::randn({8, 384}) / 50;
  const Tensor y = at::randn({100, 384}).requires_grad_();
  const int before = at::get_num_threads();
  Tensor first;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    const Tensor h = lorma::torch::multiply(y, B, A, 1.0, "CyclicPermutation");
    const Tensor both = at::cat({h, gradients(h.pow(2).sum(), {y})[0]});
    if (threads == 1) first = both;
    DOCTEST_CHECK(at::equal(both, first));
  }
  at::set_num_threads(before);
}

DOCTEST_TEST_CASE("a module learns its factors alone, and starts as the frozen layer") {
  ::torch::manual_seed(4);
  for (const std::string& side : sides) {
    for (const std::string& inflation : {inflations[0], inflations[1]}) {
      const Tensor W0 = at::randn({6, 8});
      lorma::torch::Linear layer(
          W0, Tensor(),
          lorma::torch::ModuleOptions{.rank = 2, .alpha = 4, .inflation = inflation, .side = side});
      const Tensor x = at::randn({5, 8});
      DOCTEST_CHECK(error(layer->forward(x), at::linear(x, W0)) <= 64 * lorma::epsilon_of<float>());
      DOCTEST_CHECK(layer->parameters().size() == 2);
      layer->forward(x).pow(2).sum().backward();
      DOCTEST_CHECK(layer->lorma_B.grad().norm().item<double>() > 0);
      DOCTEST_CHECK(error(layer->forward(x), at::linear(x, layer->merged_weight())) <=
                    64 * lorma::epsilon_of<float>());
    }
  }
}

DOCTEST_TEST_CASE("what does not fit is refused in words") {
  const Tensor B = at::zeros({4, 2});
  const Tensor A = at::zeros({2, 4});
  const Tensor fits = at::zeros({4, 4});
  const Tensor longer = at::zeros({4, 5});
  for (const std::string& inflation : inflations) {
    DOCTEST_CHECK_THROWS_AS(lorma::torch::multiply(longer, B, A, 1.0, inflation), c10::Error);
  }
  DOCTEST_CHECK_THROWS_AS(lorma::torch::multiply(fits, B, A, 1.0, "Idenity"), lorma::Error);
  const LinearOptions left{.side = "Left"};
  DOCTEST_CHECK_THROWS_AS(lorma::torch::merge(fits, B, A, left), c10::Error);
}
