// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_JOB_HPP
#define LORMA_EXAMPLES_DEMO_JOB_HPP

/// The jobs. `layer`: make the query matrix W0 of layer 2 do, on the real inputs X of layer 3, what
/// layer 3's own query matrix does; a far target. `quantized`: W0 is layer 3's query matrix rounded
/// to 4 bits and the target is the matrix itself; a near target. X is k x b, a token a column; the
/// last sentences are held out.

#include <filesystem>
#include <functional>
#include <string>

#include "lorma/core/types.hpp"

namespace demo {

using lorma::Index;
using Matrix = lorma::Matrix<float>;

/// Tokens with the outputs wanted for them.
struct Tokens {
  Matrix X;           ///< k x b
  Matrix target;      ///< d x b, W_target X
  double energy = 0;  ///< ||W_target X||_F^2
};

enum class JobKind : unsigned char { layer, quantized };

struct Job {
  std::string title = "query matrix of layer 2 towards layer 3's";
  std::string base_name = "encoder.layer.2.attention.self.query.weight";
  std::string target_name = "encoder.layer.3.attention.self.query.weight";
  std::string input_name = "encoder.layer.3.input";
  Matrix W0;
  Matrix W_target;
  Tokens training;
  Tokens held_out;
};

/// Throws lorma::Error when the file is not the one this demo knows. data.cpp
Job load_job(const std::filesystem::path& path, JobKind kind);

/// Calls f(name, W) for every 2-D attention weight of a safetensors file. data.cpp
void for_each_attention_matrix(const std::filesystem::path& path,
                               const std::function<void(const std::string&, const Matrix&)>& f);

}  // namespace demo

#endif
