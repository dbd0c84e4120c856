// SPDX-License-Identifier: Apache-2.0
// The algorithm of the published layers on Eigen: form P, for LoRMA_pi by gathering through an
// index table, multiply the weight by it, then the input by the product; gradients by the chain
// rule through the same steps.

#include <Eigen/Core>

#include "peers.hpp"

namespace bench {
namespace {

template <bool Turned>
class Published {
 public:
  explicit Published(const Sizes& s)
      : A_(Matrix::Random(s.r, s.d)), B_(Matrix::Random(s.d, s.r)), M_(s.d, s.d), P_(s.d, s.d) {
    if constexpr (Turned) {
      from_.resize(s.d, s.d);
      for (Index j = 0; j < s.d; ++j) {
        for (Index i = 0; i < s.d; ++i) from_(i, j) = int((j - i + s.d) % s.d);
      }
    }
  }

  void merge(const Matrix& W0) {
    const Index n = P_.rows();
    if constexpr (Turned) {
      M_.noalias() = B_ * A_;
      for (Index j = 0; j < n; ++j) {
        for (Index i = 0; i < n; ++i) P_(i, j) = M_(i, from_(i, j));
      }
    } else {
      P_.noalias() = B_ * A_;
      P_.diagonal().array() += 1.0F;
    }
    W_.noalias() = P_ * W0;
  }

  void forward(const Matrix& W0, const Matrix& X, Matrix& H) {
    merge(W0);
    H.noalias() = W_ * X;
  }

  void backward(const Matrix& W0, const Matrix& X, const Matrix& G, Matrix& dX) {
    const Index n = P_.rows();
    dX.noalias() = W_.transpose() * G;
    dW_.noalias() = G * X.transpose();
    P_.noalias() = dW_ * W0.transpose();
    if constexpr (Turned) {
      for (Index j = 0; j < n; ++j) {
        for (Index i = 0; i < n; ++i) M_(i, from_(i, j)) = P_(i, j);
      }
      dA_.noalias() = B_.transpose() * M_;
      dB_.noalias() = M_ * A_.transpose();
    } else {
      dA_.noalias() = B_.transpose() * P_;
      dB_.noalias() = P_ * A_.transpose();
    }
    benchmark::DoNotOptimize(dA_.data());
    benchmark::DoNotOptimize(dB_.data());
  }

 private:
  Matrix A_, B_, M_, P_, W_, dW_, dA_, dB_;
  Eigen::MatrixXi from_;
};

template <bool Turned>
void forward(benchmark::State& state, Sizes s) {
  const Layer l(s);
  Published<Turned> layer(s);
  Matrix H;
  for (auto _ : state) {
    layer.forward(l.W0, l.X, H);
    benchmark::DoNotOptimize(H.data());
  }
}

template <bool Turned>
void training(benchmark::State& state, Sizes s) {
  const Layer l(s);
  Published<Turned> layer(s);
  Matrix H;
  Matrix dX;
  for (auto _ : state) {
    layer.forward(l.W0, l.X, H);
    layer.backward(l.W0, l.X, l.G, dX);
    benchmark::DoNotOptimize(dX.data());
  }
}

template <bool Turned>
void merge(benchmark::State& state, Sizes s) {
  const Matrix W0 = Matrix::Random(s.d, s.k);
  Published<Turned> layer(s);
  for (auto _ : state) {
    layer.merge(W0);
    benchmark::ClobberMemory();
  }
}

template <bool Turned>
Peer peer(std::string name) {
  return {.name = std::move(name),
          .forward = forward<Turned>,
          .training = training<Turned>,
          .merge = merge<Turned>,
          .largest = 4096};
}

}  // namespace

std::vector<Peer> published_eigen_peers() {
  return {peer<false>("published LoRMA+ (Eigen)"), peer<true>("published LoRMA_pi (Eigen)")};
}

}  // namespace bench
