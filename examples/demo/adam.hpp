// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_ADAM_HPP
#define LORMA_EXAMPLES_DEMO_ADAM_HPP

/// Adam (arXiv 1412.6980) with its usual constants, for one matrix.

#include <cmath>

#include "lorma/core/types.hpp"

namespace demo {

class Adam {
 public:
  explicit Adam(float rate) : rate_(rate) {}

  /// One step down the gradient.
  void step(lorma::Matrix<float>& parameter, const lorma::Matrix<float>& gradient) {
    if (mean_.size() == 0) {
      mean_.setZero(parameter.rows(), parameter.cols());
      square_.setZero(parameter.rows(), parameter.cols());
    }
    power1_ *= beta1;
    power2_ *= beta2;
    const auto g = gradient.array();
    mean_.array() = float(beta1) * mean_.array() + float(1 - beta1) * g;
    square_.array() = float(beta2) * square_.array() + float(1 - beta2) * g * g;
    const float size = static_cast<float>(rate_ / (1 - power1_));
    const float unbias = static_cast<float>(1 / (1 - power2_));
    parameter.array() -= size * mean_.array() / ((square_.array() * unbias).sqrt() + 1e-8F);
  }

 private:
  static constexpr double beta1 = 0.9;
  static constexpr double beta2 = 0.999;

  double rate_;
  double power1_ = 1;
  double power2_ = 1;
  lorma::Matrix<float> mean_;
  lorma::Matrix<float> square_;
};

}  // namespace demo

#endif
