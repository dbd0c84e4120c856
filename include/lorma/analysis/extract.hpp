// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_EXTRACT_HPP
#define LORMA_ANALYSIS_EXTRACT_HPP

/// The LoRMA+ adapter that comes closest to what tuning did to a weight.
///
///   ExtractedFactors f = extract<Pre>(W0, W, 16);                    // of rank 16
///   ExtractedFactors f = extract<Pre>(W0, W, {.tolerance = 0.05});   // as small as 5 % allow

#include "lorma/analysis/find_multiplier.hpp"
#include "lorma/analysis/pseudo_inverse.hpp"
#include "lorma/analysis/truncated_svd.hpp"
#include "lorma/core/plus_factors.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// What multipliers can do with a weight (Theorem 1, Corollary 1.1).
struct Reach {
  Index base_rank = 0;  ///< numerical rank of W0
  /// Every W can be reached: W0 has full column rank (Pre) or full row rank (Post).
  bool reaches_all = false;
  /// The part of W - W0 outside the span of W0, relative to ||W - W0||_F: no rank goes below.
  double unreachable = 0.0;
};

/// Factors of the LoRMA+ adapter of rank r whose merged weight is nearest to W: the minimum of
/// ||(I + B A) W0 - W||_F (Pre) or ||W0 (I + B A) - W||_F (Post) over all B, A.
struct ExtractedFactors : PlusFactors, Reach {
  double residual = 0.0;     ///< of the weight merged with these factors, over ||W - W0||_F
  Eigen::VectorXd spectrum;  ///< leading singular values of the reachable change, descending
};

namespace detail {

/// The part of D = W - W0 that some X W0 is, for the W0 of `inverse`.
template <typename Real>
Matrix<Real> reachable_part(const PseudoInverse<Real>& inverse, const Matrix<Real>& change,
                            Reach& reach) {
  reach.base_rank = inverse.rank();
  reach.reaches_all = inverse.has_full_column_rank();
  if (reach.reaches_all) return change;
  Matrix<Real> inside = inverse.project(change);
  const double size = change.stableNorm();
  reach.unreachable = size > 0.0 ? (change - inside).stableNorm() / size : 0.0;
  return inside;
}

/// (I + B A) W0 for the W0 of `inverse` and D = W - W0, with `least` columns or more: zeros beyond
/// those that the change takes. Source: docs/mathematics.md, section 7.
template <typename Real>
ExtractedFactors extract_left(const PseudoInverse<Real>& inverse, const Matrix<Real>& change,
                              const Truncation& wanted, Index least) {
  ExtractedFactors result;
  const Matrix<Real> reachable = reachable_part(inverse, change, result);
  const TruncatedSvd svd = lorma::analysis::truncated_svd(reachable, wanted);
  result.spectrum = svd.leading;
  Matrix<Real> right;
  split(svd.U, svd.sigma, svd.V, std::max(least, svd.sigma.size()), result.B, right);
  result.A = inverse.times_of_weight(right);
  const Matrix<Real> reached = result.A * inverse.weight();
  result.A /= inverse.unit();
  const double size = change.stableNorm();
  if (size > 0.0) {
    const Matrix<Real> missed = change - result.B * reached;
    result.residual = missed.stableNorm() / size;
  }
  return result;
}

/// W - W0. Throws ShapeError, NonFinite.
template <typename D0, typename D1>
Matrix<double> change_of(std::string_view function, const Eigen::DenseBase<D0>& W0,
                         const Eigen::DenseBase<D1>& W) {
  check_same_size(function, W0, W);
  return finite_copy(function, finite_copy(function, W) - finite_copy(function, W0));
}

template <typename Side, typename D0, typename D1>
ExtractedFactors extract(const Eigen::DenseBase<D0>& W0, const Eigen::DenseBase<D1>& W,
                         const Truncation& wanted, Index least) {
  check_truncation("extract", wanted);
  const Matrix<double> change = change_of("extract", W0, W);
  if constexpr (std::is_same_v<Side, Pre>) {
    return extract_left(PseudoInverse<>("extract", W0), change, wanted, least);
  } else {
    // W0 (I + B A) = ((I + A^T B^T) W0^T)^T
    ExtractedFactors result = extract_left<double>(PseudoInverse<>("extract", W0.transpose()),
                                                   change.transpose(), wanted, least);
    result.B.transposeInPlace();
    result.A.transposeInPlace();
    result.B.swap(result.A);
    return result;
  }
}

#ifdef LORMA_COMPILED
extern template Matrix<double> reachable_part(const PseudoInverse<double>&, const Matrix<double>&,
                                              Reach&);
extern template ExtractedFactors extract_left(const PseudoInverse<double>&, const Matrix<double>&,
                                              const Truncation&, Index);
#endif

}  // namespace detail

/// What multipliers can do towards W, without factors. Cost: that of PseudoInverse. Throws
/// ShapeError, NonFinite.
template <typename Side = Pre, typename D0, typename D1>
Reach reach(const Eigen::DenseBase<D0>& W0, const Eigen::DenseBase<D1>& W) {
  const Matrix<double> change = detail::change_of("reach", W0, W);
  Reach result;
  if constexpr (std::is_same_v<Side, Pre>) {
    detail::reachable_part(PseudoInverse<>("reach", W0), change, result);
  } else {
    detail::reachable_part<double>(PseudoInverse<>("reach", W0.transpose()), change.transpose(),
                                   result);
  }
  return result;
}

/// The rank is what the truncation asks for of the reachable part of W - W0; at least 1, with
/// factors of zero where nothing changed. Cost: that of PseudoInverse and of truncated_svd. Throws
/// ShapeError, NonFinite.
template <typename Side = Pre, typename D0, typename D1>
ExtractedFactors extract(const Eigen::DenseBase<D0>& W0, const Eigen::DenseBase<D1>& W,
                         const Truncation& wanted) {
  return detail::extract<Side>(W0, W, wanted, 1);
}

/// Of rank r: where the change has less, the rest of the factors is zero. Throws ShapeError for
/// r < 1, and as above.
template <typename Side = Pre, typename D0, typename D1>
ExtractedFactors extract(const Eigen::DenseBase<D0>& W0, const Eigen::DenseBase<D1>& W, Index r) {
  if (r < 1) {
    throw ShapeError("lorma::analysis::extract: expected a rank r >= 1, got " + std::to_string(r));
  }
  return detail::extract<Side>(W0, W, {.rank = r}, r);
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
