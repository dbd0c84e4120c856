// SPDX-License-Identifier: Apache-2.0
// The floor: the frozen layer alone, the same by the BLAS called by hand, and LoRA.

#include "peers.hpp"

namespace bench {
namespace {

void frozen_forward(benchmark::State& state, Sizes s) {
  const Layer l(s);
  Matrix H(s.d, s.b);
  for (auto _ : state) {
    H.noalias() = l.W0 * l.X;
    benchmark::DoNotOptimize(H.data());
    benchmark::ClobberMemory();
  }
}

void frozen_training(benchmark::State& state, Sizes s) {
  const Layer l(s);
  Matrix H(s.d, s.b);
  Matrix dX(s.k, s.b);
  for (auto _ : state) {
    H.noalias() = l.W0 * l.X;
    dX.noalias() = l.W0.transpose() * l.G;
    benchmark::DoNotOptimize(H.data());
    benchmark::DoNotOptimize(dX.data());
    benchmark::ClobberMemory();
  }
}

/// Touches the weight once, as a merge must: reads it and writes it.
void copy_weight(benchmark::State& state, Sizes s) {
  const Matrix W0 = Matrix::Random(s.d, s.k);
  Matrix W(s.d, s.k);
  for (auto _ : state) {
    W = W0;
    benchmark::DoNotOptimize(W.data());
    benchmark::ClobberMemory();
  }
}

#ifdef EIGEN_USE_BLAS
void product(char trans, const Matrix& W0, const Matrix& X, Matrix& H) {
  const int m = int(H.rows());
  const int n = int(H.cols());
  const int k = int(X.rows());
  const int lda = int(W0.rows());
  const float one = 1.0F;
  const float zero = 0.0F;
  sgemm_(&trans, "N", &m, &n, &k, &one, W0.data(), &lda, X.data(), &k, &zero, H.data(), &m);
}

void blas_forward(benchmark::State& state, Sizes s) {
  const Layer l(s);
  Matrix H(s.d, s.b);
  for (auto _ : state) {
    product('N', l.W0, l.X, H);
    benchmark::ClobberMemory();
  }
}

void blas_training(benchmark::State& state, Sizes s) {
  const Layer l(s);
  Matrix H(s.d, s.b);
  Matrix dX(s.k, s.b);
  for (auto _ : state) {
    product('N', l.W0, l.X, H);
    product('T', l.W0, l.G, dX);
    benchmark::ClobberMemory();
  }
}
#endif

void lora_forward(benchmark::State& state, Sizes s) {
  const Layer l(s);
  const Matrix A = Matrix::Random(s.r, s.k);
  const Matrix B = Matrix::Random(s.d, s.r);
  Matrix H(s.d, s.b);
  Matrix U(s.r, s.b);
  for (auto _ : state) {
    H.noalias() = l.W0 * l.X;
    U.noalias() = A * l.X;
    H.noalias() += B * U;
    benchmark::DoNotOptimize(H.data());
    benchmark::ClobberMemory();
  }
}

void lora_training(benchmark::State& state, Sizes s) {
  const Layer l(s);
  const Matrix A = Matrix::Random(s.r, s.k);
  const Matrix B = Matrix::Random(s.d, s.r);
  Matrix H(s.d, s.b), dX(s.k, s.b), dA(s.r, s.k), dB(s.d, s.r), U(s.r, s.b), V(s.r, s.b);
  for (auto _ : state) {
    H.noalias() = l.W0 * l.X;
    U.noalias() = A * l.X;
    H.noalias() += B * U;
    dX.noalias() = l.W0.transpose() * l.G;
    V.noalias() = B.transpose() * l.G;
    dX.noalias() += A.transpose() * V;
    dA.noalias() = V * l.X.transpose();
    dB.noalias() = l.G * U.transpose();
    benchmark::DoNotOptimize(dX.data());
    benchmark::ClobberMemory();
  }
}

void lora_merge(benchmark::State& state, Sizes s) {
  const Matrix W0 = Matrix::Random(s.d, s.k);
  const Matrix A = Matrix::Random(s.r, s.k);
  const Matrix B = Matrix::Random(s.d, s.r);
  Matrix W(s.d, s.k);
  for (auto _ : state) {
    W = W0;
    W.noalias() += B * A;
    benchmark::DoNotOptimize(W.data());
    benchmark::ClobberMemory();
  }
}

}  // namespace

std::vector<Peer> frozen_peers() {
  std::vector<Peer> peers{
      {.name = "frozen",
       .forward = frozen_forward,
       .training = frozen_training,
       .merge = copy_weight},
      {.name = "LoRA", .forward = lora_forward, .training = lora_training, .merge = lora_merge}};
#ifdef EIGEN_USE_BLAS
  peers.push_back({.name = "BLAS", .forward = blas_forward, .training = blas_training});
#endif
  return peers;
}

}  // namespace bench
