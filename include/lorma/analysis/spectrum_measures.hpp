// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_SPECTRUM_MEASURES_HPP
#define LORMA_ANALYSIS_SPECTRUM_MEASURES_HPP

/// Smooth relatives of the rank, from the singular values sigma_1 >= sigma_2 >= ...

#include <cmath>
#include <limits>

#include "lorma/analysis/singular_values.hpp"

namespace lorma::inline LORMA_ABI::analysis {

namespace detail {

template <typename Vector>
double condition_of(const Vector& sigma) {
  if (sigma.size() == 0) return 1.0;
  const double smallest = sigma(sigma.size() - 1);
  return smallest > 0.0 ? sigma(0) / smallest : std::numeric_limits<double>::infinity();
}

template <typename Vector>
double stable_rank_of(const Vector& sigma) {
  if (sigma.size() == 0 || sigma(0) == 0.0) return 0.0;
  return (sigma / sigma(0)).squaredNorm();
}

template <typename Vector>
double effective_rank_of(const Vector& sigma) {
  if (sigma.size() == 0 || sigma(0) == 0.0) return 0.0;
  const Vector scaled = sigma / sigma(0);
  const Vector p = scaled / scaled.sum();
  double entropy = 0.0;
  for (const double share : p) {
    if (share > 0.0) entropy -= share * std::log(share);
  }
  return std::exp(entropy);
}

}  // namespace detail

/// sigma_1 / sigma_min; infinity for a zero sigma_min, 1 for an empty matrix. Throws NonFinite.
template <typename Derived>
double condition_number(const Eigen::DenseBase<Derived>& m) {
  return detail::condition_of(detail::spectrum_of("condition_number", m).sigma);
}

/// Frobenius norm^2 / spectral norm^2, between 1 and the rank; 0 for a zero or empty matrix.
template <typename Derived>
double stable_rank(const Eigen::DenseBase<Derived>& m) {
  return detail::stable_rank_of(detail::spectrum_of("stable_rank", m).sigma);
}

/// exp of the entropy of sigma_i / sum sigma (Roy and Vetterli 2007), between 1 and the rank; 0 for
/// a zero or empty matrix.
template <typename Derived>
double effective_rank(const Eigen::DenseBase<Derived>& m) {
  return detail::effective_rank_of(detail::spectrum_of("effective_rank", m).sigma);
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
