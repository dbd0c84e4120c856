// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "job.hpp"
#include "lorma/io/safetensors_reader.hpp"

namespace demo {
namespace {

Tokens make_tokens(const Matrix& W_target, Matrix X) {
  Tokens tokens;
  tokens.target = W_target * X;
  tokens.energy = tokens.target.cast<double>().squaredNorm();
  tokens.X = std::move(X);
  return tokens;
}

/// Each row rounded to the 15 levels -7 to 7 times a seventh of its largest magnitude.
void round_to_four_bits(Matrix& W) {
  for (Index i = 0; i < W.rows(); ++i) {
    const float level = W.row(i).cwiseAbs().maxCoeff() / 7;
    if (level > 0) W.row(i) = level * (W.row(i) / level).array().round().matrix();
  }
}

bool is_attention_matrix(const lorma::StoredTensor& stored) {
  using lorma::Dtype;
  const bool real = stored.dtype == Dtype::F64 || stored.dtype == Dtype::F32 ||
                    stored.dtype == Dtype::F16 || stored.dtype == Dtype::BF16;
  return real && stored.shape.size() == 2 && stored.shape[0] > 1 && stored.shape[1] > 1 &&
         (stored.name.find("attn") != std::string::npos ||
          stored.name.find("attention") != std::string::npos);
}

}  // namespace

Job load_job(const std::filesystem::path& path, JobKind kind) {
  const lorma::SafetensorsFile file(path);
  Job job;
  if (kind == JobKind::quantized) job.base_name = job.target_name;
  job.W0 = file.matrix<float>(job.base_name);
  job.W_target = file.matrix<float>(job.target_name);
  const Matrix X = file.matrix<float>(job.input_name).transpose();
  if (job.W0.rows() != job.W0.cols() || job.W_target.rows() != job.W0.rows() ||
      job.W_target.cols() != job.W0.cols() || X.rows() != job.W0.cols() || X.rows() == 0) {
    throw lorma::ShapeError(file.name() +
                            ": expected two square weights of one size and inputs as wide");
  }
  if (!job.W0.allFinite() || !job.W_target.allFinite() || !X.allFinite()) {
    throw lorma::NonFinite(file.name() + ": expected finite weights and inputs");
  }
  const auto split = file.metadata().find("first_held_out_token");
  const long first = split == file.metadata().end() ? 0 : std::atol(split->second.c_str());
  if (first < 1 || first >= X.cols()) {
    throw lorma::FormatError(file.name() + ": expected metadata first_held_out_token from 1 to " +
                             std::to_string(X.cols() - 1));
  }
  if (kind == JobKind::quantized) {
    job.title = "query matrix of layer 3, rounded to 4 bits, towards itself";
    job.base_name += ", rounded to 4 bits";
    round_to_four_bits(job.W0);
  }
  job.training = make_tokens(job.W_target, X.leftCols(first));
  job.held_out = make_tokens(job.W_target, X.rightCols(X.cols() - first));
  return job;
}

void for_each_attention_matrix(const std::filesystem::path& path,
                               const std::function<void(const std::string&, const Matrix&)>& f) {
  const lorma::SafetensorsFile file(path);
  for (const lorma::StoredTensor& stored : file.tensors()) {
    if (is_attention_matrix(stored)) f(stored.name, file.matrix<float>(stored.name));
  }
}

}  // namespace demo
