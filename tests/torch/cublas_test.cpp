// SPDX-License-Identifier: Apache-2.0
// LoRMA_pi on tensors of a GPU by CuBlas: what the CPU says, on whichever stream is current.
#define DOCTEST_CONFIG_NO_SHORT_MACRO_NAMES  // torch has a CHECK of its own
#include <doctest/doctest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/utils.h>

#include "lorma/torch/linear.hpp"

namespace {

using at::Tensor;

double error(const Tensor& a, const Tensor& b) {
  const auto wide = [](const Tensor& t) { return t.to(at::kCPU).to(at::kDouble); };
  return ((wide(a) - wide(b)).norm() / wide(b).norm()).item<double>();
}

/// P y and its gradients in y, B and A.
std::vector<Tensor> values(const Tensor& y, const Tensor& B, const Tensor& A) {
  const std::vector<Tensor> in{y.detach().requires_grad_(), B.detach().requires_grad_(),
                               A.detach().requires_grad_()};
  const Tensor h = lorma::torch::multiply(in[0], in[1], in[2], 0.7, "CyclicPermutation");
  auto all = ::torch::autograd::grad({h.pow(2).sum()}, in);
  all.insert(all.begin(), h);
  return all;
}

void agrees(const std::vector<Tensor>& device, const std::vector<Tensor>& host, double bound) {
  for (std::size_t i = 0; i < host.size(); ++i) {
    DOCTEST_CAPTURE(i);
    DOCTEST_CHECK(device[i].is_cuda());
    DOCTEST_CHECK(error(device[i], host[i]) <= bound);
  }
}

}  // namespace

DOCTEST_TEST_CASE("tensors of a GPU give what tensors of the CPU give") {
  if (!at::hasCUDA()) {
    DOCTEST_MESSAGE("no GPU: left out");
    return;
  }
  ::torch::manual_seed(1);
  for (const auto type : {at::kFloat, at::kDouble}) {
    const double bound =
        256 * (type == at::kFloat ? lorma::epsilon_of<float>() : lorma::epsilon_of<double>());
    for (const int n : {1, 7, 96, 768}) {
      DOCTEST_CAPTURE(n);
      const Tensor B = at::randn({n, 4}, type) / n;
      const Tensor A = at::randn({4, n}, type);
      const Tensor y = at::randn({2, 5, n}, type);
      const auto host = values(y, B, A);
      agrees(values(y.cuda(), B.cuda(), A.cuda()), host, bound);
      // Strides that no BLAS reads.
      const Tensor apart = at::stack({y, y}, -1).cuda().select(-1, 0);
      agrees(values(apart, B.t().contiguous().cuda().t(), A.cuda()), host, bound);
      const c10::cuda::CUDAStreamGuard on(c10::cuda::getStreamFromPool());
      agrees(values(y.cuda(), B.cuda(), A.cuda()), host, bound);
    }
  }
}
