// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_RANK_REPORT_HPP
#define LORMA_ANALYSIS_RANK_REPORT_HPP

/// All measures of one matrix from one singular value decomposition, as text and as JSON.
///
///   std::cout << lorma::analysis::rank_report(W0);

#include <ostream>
#include <sstream>
#include <string>

#include "lorma/analysis/numerical_rank.hpp"
#include "lorma/analysis/spectrum_measures.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// Every measure of one matrix.
struct RankReport {
  Index rows = 0;
  Index cols = 0;
  Index rank = 0;
  double tolerance = 0.0;  ///< absolute
  std::string method;      ///< what answered: "svd"
  double largest = 0.0;    ///< sigma_1
  double smallest = 0.0;   ///< sigma_min(m, n)
  double condition = 1.0;
  double stable_rank = 0.0;
  double effective_rank = 0.0;
  /// Singular values up to this may be the rounding of M to the type that it is stored in
  /// (storage_tolerance): above `tolerance` for half and bfloat16.
  double storage_rounding = 0.0;
  Index rank_beyond_storage = 0;  ///< of those above both
  double fraction = 0.99;
  bool near_full_rank = true;

  /// One JSON object; numbers that are not finite become null.
  std::string to_json() const {
    std::ostringstream out;
    out.precision(17);
    const auto number = [](double value) {
      std::ostringstream text;
      text.precision(17);
      if (std::isfinite(value)) {
        text << value;
      } else {
        text << "null";
      }
      return text.str();
    };
    out << "{\"rows\":" << rows << ",\"cols\":" << cols << ",\"rank\":" << rank
        << ",\"tolerance\":" << number(tolerance) << ",\"method\":\"" << method
        << "\",\"largest_singular_value\":" << number(largest)
        << ",\"smallest_singular_value\":" << number(smallest)
        << ",\"condition_number\":" << number(condition)
        << ",\"stable_rank\":" << number(stable_rank)
        << ",\"effective_rank\":" << number(effective_rank)
        << ",\"storage_rounding\":" << number(storage_rounding)
        << ",\"rank_beyond_storage\":" << rank_beyond_storage
        << ",\"fraction\":" << number(fraction)
        << ",\"near_full_rank\":" << (near_full_rank ? "true" : "false") << "}";
    return out.str();
  }

  friend std::ostream& operator<<(std::ostream& out, const RankReport& r) {
    std::ostringstream text;
    text << r.rows << " x " << r.cols << ", rank " << r.rank << " of " << std::min(r.rows, r.cols)
         << (r.near_full_rank ? " (near full)" : " (deficient)") << ", tolerance " << r.tolerance
         << " (" << r.method << ")\n"
         << "singular values " << r.largest << " to " << r.smallest << ", condition " << r.condition
         << "\nstable rank " << r.stable_rank << ", effective rank " << r.effective_rank << "\n";
    if (r.storage_rounding > r.tolerance) {
      text << "rank " << r.rank_beyond_storage
           << " beyond the rounding of the storage, which may be "
           << "singular values up to " << r.storage_rounding << "\n";
    }
    return out << text.str();
  }
};

namespace detail {

/// From sigma of M / unit: every number without a unit whatever the size of M.
template <typename Derived>
RankReport report_of(const Spectrum& spectrum, const Eigen::DenseBase<Derived>& m,
                     double fraction) {
  const Eigen::VectorXd& sigma = spectrum.sigma;
  const double relative = default_tolerance(m) * largest(sigma);
  const double storage = storage_rounding<typename Derived::Scalar>(
      m.rows(), m.cols(), sigma.stableNorm() * spectrum.unit);
  RankReport report;
  report.rows = m.rows();
  report.cols = m.cols();
  report.method = "svd";
  report.largest = largest(sigma) * spectrum.unit;
  report.smallest = sigma.size() == 0 ? 0.0 : sigma(sigma.size() - 1) * spectrum.unit;
  report.tolerance = relative * spectrum.unit;
  report.rank = count_above(sigma, relative);
  report.storage_rounding = storage;
  report.rank_beyond_storage = count_above(sigma, std::max(relative, storage / spectrum.unit));
  report.condition = condition_of(sigma);
  report.stable_rank = stable_rank_of(sigma);
  report.effective_rank = effective_rank_of(sigma);
  report.fraction = fraction;
  report.near_full_rank = static_cast<double>(report.rank) >=
                          fraction * static_cast<double>(std::min(m.rows(), m.cols()));
  return report;
}

}  // namespace detail

/// From the singular values of `m`, descending, when they are known already.
template <typename Derived>
RankReport rank_report_from(const Eigen::VectorXd& sigma, const Eigen::DenseBase<Derived>& m,
                            double fraction = 0.99) {
  return detail::report_of({sigma, 1.0}, m, fraction);
}

/// Cost of one singular value decomposition. Throws NonFinite.
template <typename Derived>
RankReport rank_report(const Eigen::DenseBase<Derived>& m, double fraction = 0.99) {
  return detail::report_of(detail::spectrum_of("rank_report", m), m, fraction);
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
