// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_LORA_LAYER_HPP
#define LORMA_MODEL_LORA_LAYER_HPP

/// LoRA adapters in memory, whatever the dialect of their files.

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "lorma/core/types.hpp"
#include "lorma/io/safetensors_reader.hpp"
#include "lorma/model/peft_tensors.hpp"
#include "lorma/model/weight_form.hpp"

namespace lorma::inline LORMA_ABI {

/// alpha / r, or alpha / sqrt(r) with use_rslora.
inline double lora_scale(double alpha, Index rank, bool use_rslora) {
  const auto r = static_cast<double>(rank);
  return alpha / (use_rslora ? std::sqrt(r) : r);
}

/// One adapted module: W = W0 + scale B A for W0 d x k (out x in).
struct LoraLayer {
  std::string module;  ///< "encoder.layer.0.attention.self.query", without PEFT's prefix
  Matrix<float> B;     ///< d x r; of e experts d x (r e), column q of expert i at q e + i
  Matrix<float> A;     ///< r x k; of e experts (e r) x k, row q of expert i at i r + q
  double alpha = 1.0;
  double scale = 1.0;  ///< lora_scale of alpha
  /// DoRA: the norms to which the rows of W0 + scale B A are brought; empty: they are left as they
  /// are.
  Eigen::VectorXf magnitude = {};
  WeightForm form = WeightForm::matrix;
  bool is_embedding = false;  ///< the weight is stored in x out, [vocabulary, d]
  bool is_flattened = false;  ///< the dots of the module's name are underscores: kohya's
  /// Names of expert weights, of which the one whose shape fits is meant: PEFT's keys do not say.
  std::vector<std::string> parameters = {};
  Index rank = 0;  ///< of each expert; 0: no experts, and the rank is A's number of rows

  /// Whether it is a matrix B A that is added to a matrix, and no more.
  bool is_plain() const {
    return magnitude.size() == 0 && form == WeightForm::matrix && !is_embedding;
  }
};

struct PeftLora {
  std::string base_model;  ///< base_model_name_or_path, may be empty
  std::string task_type;   ///< may be empty
  bool use_rslora = false;
  /// The base's weights are stored in x out (GPT-2's Conv1D); B and A are as above all the same.
  bool fan_in_fan_out = false;
  std::vector<LoraLayer> layers;                     ///< as read: sorted by module
  std::vector<SavedTensor> saved = {};               ///< brought along whole
  std::shared_ptr<const SafetensorsFile> file = {};  ///< that `saved` lie in
  std::vector<std::string> remarks = {};             ///< what a person should know
};

}  // namespace lorma::inline LORMA_ABI

#endif
