// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_LORA_HPP
#define LORMA_EXAMPLES_DEMO_LORA_HPP

/// The additive baseline, LoRA (arXiv 2106.09685): W = W0 + s B A, B (d x r) = 0 and
/// A (r x k) ~ U(-1/sqrt(k), 1/sqrt(k)) at the start. It has the members of lorma::Adapter that the
/// demo uses, and like it allocates nothing once warm.

#include "lorma/core/random.hpp"
#include "lorma/primitives/backward.hpp"

namespace demo {

class Lora {
 public:
  using Matrix = lorma::Matrix<float>;
  using Gradients = lorma::Gradients<float>;
  struct Tape {
    Matrix X;    ///< k x b
    Matrix AX;   ///< r x b
    Matrix BtG;  ///< r x b
  };

  Lora(lorma::Index d, lorma::Index k, lorma::Index rank, float alpha)
      : B_(Matrix::Zero(d, rank)), A_(Matrix::Zero(rank, k)), alpha_(alpha) {}

  template <typename Urbg>
  void initialize(Urbg& urbg) {
    B_.setZero();
    lorma::fill_uniform(lorma::EigenCpu::view(A_), 1.0 / std::sqrt(double(A_.cols())), urbg);
  }

  Matrix& A() { return A_; }
  Matrix& B() { return B_; }
  const Matrix& A() const { return A_; }
  const Matrix& B() const { return B_; }
  float scale() const { return alpha_ / static_cast<float>(A_.rows()); }
  lorma::Index parameters() const { return A_.size() + B_.size(); }

  void forward_into(Matrix& H, const Matrix& W0, const Matrix& X, Tape& tape) const {
    tape.X = X;
    tape.AX.noalias() = A_ * X;
    H.noalias() = W0 * X;
    H.noalias() += scale() * B_ * tape.AX;
  }

  void backward_into(Gradients& g, const Matrix& W0, const Matrix& dH, Tape& tape) const {
    tape.BtG.noalias() = scale() * B_.transpose() * dH;
    g.dA.noalias() = tape.BtG * tape.X.transpose();
    g.dB.noalias() = scale() * dH * tape.AX.transpose();
    g.dX.noalias() = W0.transpose() * dH;
    g.dX.noalias() += A_.transpose() * tape.BtG;
  }

  void merge_in_place(Matrix& W) const { W.noalias() += scale() * B_ * A_; }
  void unmerge_in_place(Matrix& W) const { W.noalias() -= scale() * B_ * A_; }

 private:
  Matrix B_;
  Matrix A_;
  float alpha_;
};

}  // namespace demo

#endif
