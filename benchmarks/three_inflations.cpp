// SPDX-License-Identifier: Apache-2.0
// What a user's file looks like to a compiler (compile_time.sh): forward, backward and merge of
// lorma's three inflations.
#include <lorma/lorma.hpp>

namespace {

template <typename Inflation>
bool forward_backward_merge(const lorma::Matrix<float>& W0, const lorma::Matrix<float>& X) {
  const lorma::Adapter<float, Inflation> adapter(W0.rows(), 8, 16.0F);
  typename lorma::Adapter<float, Inflation>::Tape tape;
  const auto H = adapter.forward(W0, X, tape);
  const auto gradients = adapter.backward(W0, H, tape);
  const auto W = adapter.merge(W0);
  return gradients.dA.rows() == 8 && W.rows() == W0.rows();
}

}  // namespace

int main() {
  const lorma::Matrix<float> W0 = lorma::Matrix<float>::Identity(16, 16);
  const bool done = forward_backward_merge<lorma::None>(W0, W0) &&
                    forward_backward_merge<lorma::Identity>(W0, W0) &&
                    forward_backward_merge<lorma::CyclicPermutation>(W0, W0);
  return done ? 0 : 1;
}
