// SPDX-License-Identifier: Apache-2.0
// What a user's file looks like to a compiler (compile_time.sh): forward, backward and merge of
// lorma's three inflations.
#include <lorma/lorma.hpp>

namespace {

template <typename Inflation>
lorma::Matrix<float> train_and_merge(const lorma::Matrix<float>& W0,
                                     const lorma::Matrix<float>& X) {
  lorma::Adapter<float, Inflation> adapter(W0.rows(), 8, 16.0F);
  typename lorma::Adapter<float, Inflation>::Tape tape;
  const lorma::Matrix<float> H = adapter.forward(W0, X, tape);
  const auto gradients = adapter.backward(W0, H, tape);
  adapter.B() -= 0.01F * gradients.dB;
  adapter.A() -= 0.01F * gradients.dA;
  return adapter.merge(W0);
}

}  // namespace

int main() {
  const lorma::Matrix<float> W0 = lorma::Matrix<float>::Identity(16, 16);
  const lorma::Matrix<float> W = train_and_merge<lorma::None>(W0, W0) +
                                 train_and_merge<lorma::Identity>(W0, W0) +
                                 train_and_merge<lorma::CyclicPermutation>(W0, W0);
  return W.allFinite() ? 0 : 1;
}
