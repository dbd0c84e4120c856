// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_WEIGHTS_HPP
#define LORMA_EXAMPLES_DEMO_WEIGHTS_HPP

/// The ranks of the attention matrices of a file.

#include <string>
#include <vector>

#include "lorma/io/safetensors.hpp"
#include "lorma/lorma.hpp"

namespace demo {

struct Weight {
  std::string name;
  lorma::analysis::RankReport report;
};

/// Is `stored` a 2-D weight of an attention layer, in a type that can be computed with?
inline bool is_attention_matrix(const lorma::StoredTensor& stored) {
  using lorma::Dtype;
  const bool number = stored.dtype == Dtype::F64 || stored.dtype == Dtype::F32 ||
                      stored.dtype == Dtype::F16 || stored.dtype == Dtype::BF16;
  return number && stored.shape.size() == 2 && stored.shape[0] > 1 && stored.shape[1] > 1 &&
         (stored.name.find("attn") != std::string::npos ||
          stored.name.find("attention") != std::string::npos);
}

inline std::vector<Weight> attention_weights(const lorma::SafetensorsFile& file) {
  std::vector<Weight> weights;
  for (const lorma::StoredTensor& stored : file.tensors()) {
    if (!is_attention_matrix(stored)) continue;
    const lorma::Matrix<float> W = file.matrix<float>(stored.name);
    weights.push_back({stored.name, lorma::analysis::rank_report(W)});
  }
  return weights;
}

}  // namespace demo

#endif
