// SPDX-License-Identifier: Apache-2.0
// A framework's row-major tensors, used where they lie: x [b, k], W0 [d, k], B [n, r], A [r, n].
// A row-major [b, k] tensor is byte for byte a column-major k x b matrix.
#include <iostream>
#include <lorma/lorma.hpp>
#include <vector>

int main() {
  constexpr lorma::Index b = 16, d = 24, k = 32, r = 4;
  std::vector<float> x(b * k, 0.5F), w(d * k), fb(d * r, 0.0F), fa(r * d), h(b * d), dh(b * d);
  std::vector<float> dx(b * k), da(r * d), db(d * r);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = float(i % 7) - 3.0F;
  for (std::size_t i = 0; i < fa.size(); ++i) fa[i] = float(i % 5) - 2.0F;

  using ColMajor = Eigen::MatrixXf;
  using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const ColMajor> X(x.data(), k, b);
  const Eigen::Map<const RowMajor> W0(w.data(), d, k);
  Eigen::Map<RowMajor> B(fb.data(), d, r), A(fa.data(), r, d), dB(db.data(), d, r),
      dA(da.data(), r, d);
  Eigen::Map<ColMajor> H(h.data(), d, b), dH(dh.data(), d, b), dX(dx.data(), k, b);

  using Inflation = lorma::Identity;
  lorma::Tape<float> tape(lorma::TapeInput::borrow);  // X stays alive until backward
  float first = 0.0F;
  float last = 0.0F;
  for (int step = 0; step < 50; ++step) {
    lorma::forward_into<Inflation>(H, lorma::factors(B, A, 1.0F), W0, X, tape);
    dH = (H.array() - 1.0F) / float(b);  // pulls every output towards 1
    last = (H.array() - 1.0F).square().mean();
    if (step == 0) first = last;
    lorma::backward_into<Inflation>(dX, dA, dB, lorma::factors(B, A, 1.0F), W0, dH, tape);
    A -= 1e-4F * dA;
    B -= 1e-4F * dB;
  }
  std::cout << "loss " << first << " -> " << last << '\n';
  return last < first ? 0 : 1;
}
