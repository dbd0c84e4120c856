// SPDX-License-Identifier: Apache-2.0
// A frozen base that is no matrix: eight-bit integers with one scale a row, never expanded whole.
#include <cmath>
#include <cstdint>
#include <iostream>
#include <lorma/lorma.hpp>

/// W0(i, :) = scale(i) * q(i, :), q in int8.
class QuantizedWeight {
 public:
  explicit QuantizedWeight(const Eigen::MatrixXf& w)
      : scale_(w.rowwise().lpNorm<Eigen::Infinity>() / 127.0F),
        q_((scale_.cwiseInverse().asDiagonal() * w).array().round().cast<std::int8_t>()) {}

  lorma::Index rows() const { return q_.rows(); }
  lorma::Index cols() const { return q_.cols(); }

  /// Row i as a column, converted where it is read.
  auto row(lorma::Index i) const { return scale_(i) * q_.row(i).cast<float>().transpose(); }

  /// W0 X.
  template <typename X>
  Eigen::MatrixXf apply(const X& x) const {
    Eigen::MatrixXf out(rows(), x.cols());
    apply_into(x, out);
    return out;
  }
  /// W0^T G.
  template <typename G>
  Eigen::MatrixXf apply_adjoint(const G& g) const {
    Eigen::MatrixXf out(cols(), g.cols());
    apply_adjoint_into(g, out);
    return out;
  }

  /// The same into memory of lorma's, so that a step allocates nothing. Optional.
  template <typename X, typename Out>
  void apply_into(const X& x, Out& out) const {
    for (lorma::Index j = 0; j < x.cols(); ++j) {
      for (lorma::Index i = 0; i < rows(); ++i) out(i, j) = row(i).dot(x.col(j));
    }
  }
  template <typename G, typename Out>
  void apply_adjoint_into(const G& g, Out& out) const {
    out.setZero();
    for (lorma::Index j = 0; j < g.cols(); ++j) {
      for (lorma::Index i = 0; i < rows(); ++i) out.col(j) += g(i, j) * row(i);
    }
  }

 private:
  Eigen::VectorXf scale_;
  Eigen::Matrix<std::int8_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> q_;
};

int main() {
  const Eigen::MatrixXf W0 = Eigen::MatrixXf::Random(48, 32), X = Eigen::MatrixXf::Random(32, 8);
  const QuantizedWeight base(W0);
  lorma::Adapter<float> adapter(48, 4, 4.0F);
  adapter.A().setRandom();
  adapter.B().setRandom();
  lorma::Tape<float> tape;
  const Eigen::MatrixXf H = adapter.forward(base, X, tape);
  const auto g = adapter.backward(base, H, tape);
  const Eigen::MatrixXf exact = adapter.forward(W0, X);
  const float error = (H - exact).norm() / exact.norm();
  std::cout << "relative change by quantization: " << error << '\n';
  return error < 0.02F && std::isfinite(g.dA.norm()) ? 0 : 1;
}
