// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TESTS_SUPPORT_RANDOM_MATRICES_HPP
#define LORMA_TESTS_SUPPORT_RANDOM_MATRICES_HPP

/// Random matrices, the same on every platform, and the sizes of errors that rounding explains.

#include <limits>
#include <lorma/core/random.hpp>
#include <lorma/core/types.hpp>
#include <random>

namespace lorma_tests {

using lorma::Index;
using lorma::Matrix;

/// rows x cols of U(-1, 1).
template <typename S>
Matrix<S> random_matrix(Index rows, Index cols, unsigned seed) {
  std::mt19937_64 urbg(seed);
  Matrix<S> m(rows, cols);
  lorma::fill_uniform(lorma::MatrixView<S>(m.data(), rows, cols, std::max<Index>(rows, 1)), 1.0,
                      urbg);
  return m;
}

template <typename S>
constexpr double eps = static_cast<double>(std::numeric_limits<S>::epsilon());

template <typename M>
double norm(const M& m) {
  return m.size() == 0 ? 0.0 : static_cast<double>(m.template cast<double>().norm());
}

/// Frobenius distance.
template <typename A, typename B>
double distance(const A& a, const B& b) {
  if (a.rows() != b.rows() || a.cols() != b.cols()) return std::numeric_limits<double>::infinity();
  return a.size() == 0
             ? 0.0
             : static_cast<double>((a.template cast<double>() - b.template cast<double>()).norm());
}

/// Sum of products.
template <typename A, typename B>
double inner(const A& a, const B& b) {
  return a.size() == 0 ? 0.0
                       : a.template cast<double>().cwiseProduct(b.template cast<double>()).sum();
}

}  // namespace lorma_tests

#endif
