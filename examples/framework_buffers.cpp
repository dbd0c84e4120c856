// SPDX-License-Identifier: Apache-2.0
// A framework's row-major tensors, used where they lie: x [b, k], W0 [d, k], B [n, r], A [r, n].
// A row-major [b, k] tensor is byte for byte a column-major k x b matrix: its transposed view.
#include <iostream>
#include <lorma/lorma.hpp>
#include <vector>

/// Stands for the framework's tensor; lorma sees its pointer alone.
struct Tensor {
  Tensor(lorma::Index rows_, lorma::Index cols_)
      : rows(rows_), cols(cols_), numbers(static_cast<std::size_t>(rows_ * cols_)) {}
  lorma::MatrixView<float> view() {
    return {numbers.data(), rows, cols, cols, lorma::StorageOrder::RowMajor};
  }
  lorma::Index rows, cols;
  std::vector<float> numbers;
};

void descend(Tensor& parameter, const Tensor& gradient, float rate) {
  for (std::size_t i = 0; i < parameter.numbers.size(); ++i) {
    parameter.numbers[i] -= rate * gradient.numbers[i];
  }
}

int main() {
  constexpr lorma::Index b = 16, d = 24, k = 32, r = 4;
  Tensor x(b, k), w(d, k), h(b, d), dh(b, d), dx(b, k);
  Tensor B(d, r), A(r, d), dB(d, r), dA(r, d);
  for (std::size_t i = 0; i < x.numbers.size(); ++i) x.numbers[i] = 0.5F;
  for (std::size_t i = 0; i < w.numbers.size(); ++i) w.numbers[i] = float(i % 7) - 3.0F;
  for (std::size_t i = 0; i < A.numbers.size(); ++i) A.numbers[i] = float(i % 5) - 2.0F;

  // Nothing is copied: the view follows B and A while the optimizer changes them.
  const lorma::AdapterView<float, lorma::Identity> adapter(B.view(), A.view(), 1.0F);
  lorma::Tape<float> tape(lorma::TapeInput::borrow);  // x stays as it is until backward
  float first = 0.0F;
  float last = 0.0F;
  for (int step = 0; step < 50; ++step) {
    adapter.forward_into(h.view().transposed(), w.view(), x.view().transposed(), tape);
    last = 0.0F;
    for (std::size_t i = 0; i < h.numbers.size(); ++i) {
      const float error = h.numbers[i] - 1.0F;  // pulls every output towards 1
      dh.numbers[i] = error / float(b);
      last += error * error / float(h.numbers.size());
    }
    if (step == 0) first = last;
    adapter.backward_into(dx.view().transposed(), dA.view(), dB.view(), w.view(),
                          dh.view().transposed(), tape);
    descend(A, dA, 1e-4F);
    descend(B, dB, 1e-4F);
  }
  std::cout << "loss " << first << " -> " << last << '\n';
  return last < first ? 0 : 1;
}
