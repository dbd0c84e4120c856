// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_MODEL_SUPPORT_HPP
#define LORMA_TESTS_MODEL_SUPPORT_HPP

/// Small adapters and checkpoints.

#include <doctest/doctest.h>

#include <lorma/adapter/by_name.hpp>
#include <lorma/model/model.hpp>
#include <nlohmann/json.hpp>

#include "../io/safetensors_support.hpp"
#include "../support/random_matrices.hpp"

namespace lorma_tests {

using lorma::LormaAdapter;
using lorma::LormaLayer;
using lorma::Matrix;
using lorma::OutputSlice;
using lorma::TensorSource;
using lorma::WeightLayout;
namespace fs = std::filesystem;

inline LormaLayer layer(const std::string& weight, Index n, Index r, const std::string& inflation,
                        const std::string& side) {
  LormaLayer result;
  result.weight = weight;
  result.inflation = inflation;
  result.side = side;
  result.B = 0.3F * random_matrix<float>(n, r, 1);
  result.A = 0.3F * random_matrix<float>(r, n, 2);
  result.alpha = static_cast<double>(r);
  return result;
}

template <typename T>
Matrix<T> weight(Index rows, Index cols, unsigned seed) {
  return random_matrix<float>(rows, cols, seed).template cast<T>();
}

/// The merged weight in double, out x in.
inline Matrix<double> expected(const LormaLayer& l, const Matrix<double>& W0) {
  Matrix<double> W;
  lorma::visit_adapter<double>({.inflation = l.inflation, .side = l.side}, [&](auto type) {
    typename decltype(type)::type adapter(l.B.rows(), l.B.cols(), l.alpha);
    adapter.set_factors(l.B.cast<double>(), l.A.cast<double>());
    W = adapter.merge(W0);
  });
  return W;
}

inline lorma::model::MergeReport run(const fs::path& base, const fs::path& adapter,
                                     const fs::path& out, bool unmerge = false) {
  lorma::model::MergeOptions options;
  options.base = base;
  options.adapters = {{adapter}};
  options.out = out;
  options.unmerge = unmerge;
  options.force = true;
  return lorma::model::merge(options);
}

inline void to_lora(const fs::path& base, const fs::path& adapter, const fs::path& out) {
  lorma::model::ConvertOptions options;
  options.base = base;
  options.adapter = adapter;
  options.out = out;
  options.to = "lora";
  lorma::model::convert(options);
}

inline bool is_empty_but(const fs::path& directory, std::initializer_list<const char*> names) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(directory)) ++count;
  return count == names.size() && std::all_of(names.begin(), names.end(), [&](const char* name) {
           return fs::exists(directory / name);
         });
}

inline Matrix<double> matrix(const fs::path& file, const std::string& name) {
  return lorma::SafetensorsFile(file).matrix<double>(name);
}

}  // namespace lorma_tests

#endif
