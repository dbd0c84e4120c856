// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_JOB_HPP
#define LORMA_EXAMPLES_DEMO_JOB_HPP

/// The jobs. `layer`: make the query matrix W0 of layer 2 do, on the real inputs X of layer 3, what
/// layer 3's own query matrix does, a far target. `quantized`: W0 is layer 3's query matrix rounded
/// to 4 bits and the target is the matrix itself, a near target. X is k x b, a token a column; the
/// last sentences are held out.

#include <algorithm>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "lorma/io/safetensors.hpp"
#include "lorma/lorma.hpp"

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

inline Tokens make_tokens(const Matrix& W_target, Matrix X) {
  Tokens tokens;
  tokens.target = W_target * X;
  tokens.energy = tokens.target.cast<double>().squaredNorm();
  tokens.X = std::move(X);
  return tokens;
}

/// Each row rounded to the 15 levels -7 to 7 times a seventh of its largest magnitude.
inline Matrix round_to_four_bits(Matrix W) {
  for (Index i = 0; i < W.rows(); ++i) {
    const float level = W.row(i).cwiseAbs().maxCoeff() / 7;
    if (level > 0) W.row(i) = level * (W.row(i) / level).array().round().matrix();
  }
  return W;
}

/// Throws lorma::Error when the file is not the one this demo knows.
inline Job load_job(const lorma::SafetensorsFile& file, JobKind kind) {
  Job job;
  if (kind == JobKind::quantized) job.base_name = job.target_name;
  job.W0 = file.matrix<float>(job.base_name);
  job.W_target = file.matrix<float>(job.target_name);
  const Matrix X = file.matrix<float>(job.input_name).transpose();
  if (job.W0.rows() != job.W0.cols() || job.W_target.rows() != job.W0.rows() ||
      job.W_target.cols() != job.W0.cols() || X.rows() != job.W0.cols()) {
    throw lorma::ShapeError(file.name() + ": expected two square weights of one size, " +
                            "and inputs as wide as they are");
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
    job.W0 = round_to_four_bits(std::move(job.W0));
  }
  job.training = make_tokens(job.W_target, X.leftCols(first));
  job.held_out = make_tokens(job.W_target, X.rightCols(X.cols() - first));
  return job;
}

/// Mini-batches: every token once an epoch, in an order that depends on the seed alone, so that
/// all methods see the same batches.
class Batches {
 public:
  Batches(const Tokens& tokens, Index size, std::uint64_t seed)
      : tokens_(tokens), urbg_(seed), order_(static_cast<std::size_t>(tokens.X.cols())) {
    std::iota(order_.begin(), order_.end(), Index{0});
    next_ = order_.size();
    size = std::min(size, tokens.X.cols());
    X.resize(tokens.X.rows(), size);
    target.resize(tokens.target.rows(), size);
  }

  void advance() {
    for (Index j = 0; j < X.cols(); ++j) {
      if (next_ == order_.size()) shuffle();
      const Index from = order_[next_++];
      X.col(j) = tokens_.X.col(from);
      target.col(j) = tokens_.target.col(from);
    }
  }

  Matrix X;       ///< k x batch
  Matrix target;  ///< d x batch

 private:
  // std::shuffle differs between standard libraries.
  void shuffle() {
    for (std::size_t i = order_.size() - 1; i > 0; --i) {
      const double u = std::generate_canonical<double, 53>(urbg_);
      std::swap(order_[i], order_[std::min(i, static_cast<std::size_t>(u * double(i + 1)))]);
    }
    next_ = 0;
  }

  const Tokens& tokens_;
  std::mt19937_64 urbg_;
  std::vector<Index> order_;
  std::size_t next_;
};

}  // namespace demo

#endif
