// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_MODEL_INSPECT_SUPPORT_HPP
#define LORMA_TESTS_MODEL_INSPECT_SUPPORT_HPP

/// Matrices of known rank in a file, and what inspect says of them.

#include <lorma/model/inspect.hpp>

#include "../io/safetensors_support.hpp"
#include "../support/random_matrices.hpp"

namespace lorma_tests {

using lorma::Index;
using lorma::TensorSource;

/// m x n of rank r, singular values of the order of 1.
inline Eigen::MatrixXf of_rank(Index m, Index n, Index r, unsigned seed) {
  const Eigen::MatrixXf L = random_matrix<float>(m, r, seed);
  return L * random_matrix<float>(r, n, seed + 1);
}

inline lorma::model::Inspection inspect(std::vector<std::filesystem::path> files,
                                        const std::string& match = "") {
  lorma::model::InspectOptions options;
  options.files = std::move(files);
  options.match = match;
  options.spectra = true;
  return lorma::model::inspect(options);
}

/// A model of a full, a deficient, a bfloat16, a 1-D, an integer and an empty tensor.
inline void write_model(const std::filesystem::path& path) {
  const Eigen::MatrixXf full = random_matrix<float>(40, 30, 1);
  const Eigen::Matrix<Eigen::bfloat16, -1, -1> narrow =
      random_matrix<float>(20, 24, 3).cast<Eigen::bfloat16>();
  const Eigen::VectorXf bias = Eigen::VectorXf::Ones(7);
  const Eigen::Matrix<std::int32_t, -1, -1> codes = Eigen::Matrix<std::int32_t, -1, -1>::Ones(4, 4);
  lorma::write_safetensors(
      path,
      {TensorSource::copy("a.full", full),
       TensorSource::copy("b.deficient", of_rank(50, 50, 20, 5)),
       TensorSource::copy("c.narrow", narrow), TensorSource::copy("d.bias", bias),
       TensorSource::copy("e.codes", codes), TensorSource::copy("f.empty", Eigen::MatrixXf(0, 5))});
}

}  // namespace lorma_tests

#endif
