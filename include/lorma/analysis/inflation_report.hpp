// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_ANALYSIS_INFLATION_REPORT_HPP
#define LORMA_ANALYSIS_INFLATION_REPORT_HPP

/// What each inflation makes of the same factors.
///
///   for (const auto& line : lorma::analysis::inflation_report(adapter.factors()))
///     std::cout << line.inflation << ' ' << line.rank << ' ' << line.effective_rank << '\n';

#include <string>
#include <vector>

#include "lorma/adapter/by_name.hpp"
#include "lorma/analysis/multiplier_spectrum.hpp"
#include "lorma/analysis/tolerance.hpp"

namespace lorma::inline LORMA_ABI::analysis {

/// What one inflation makes of the factors.
struct InflationLine {
  std::string inflation;
  Index rank = 0;
  double effective_rank = 0.0;
  double stable_rank = 0.0;
  double condition = 1.0;
  double distance_to_identity = 0.0;  ///< ||P - I||_F / ||I||_F
};

/// One line for each inflation that ships. Cost O(n^3) for LoRMA_pi. Throws ShapeError, NonFinite.
template <typename S>
std::vector<InflationLine> inflation_report(const Factors<S>& f) {
  lorma::detail::check_factors("analysis::inflation_report", f);
  std::vector<InflationLine> lines;
  const auto add = [&]<typename Inflation>(std::type_identity<Inflation>) {
    const AdapterView<S, Inflation> adapter(f.B, f.A, f.scale);
    const Eigen::VectorXd sigma = detail::multiplier_singular_values("inflation_report", adapter);
    const auto n = static_cast<double>(f.dim());
    InflationLine line;
    line.inflation = Inflation::name;
    line.rank = detail::count_above(
        sigma, detail::relative_tolerance<S>(f.dim(), f.dim()) * detail::largest(sigma));
    line.effective_rank = detail::effective_rank_of(sigma);
    line.stable_rank = detail::stable_rank_of(sigma);
    line.condition = detail::condition_of(sigma);
    Matrix<double> P = detail::dense_multiplier("inflation_report", adapter);
    P.diagonal().array() -= 1.0;
    line.distance_to_identity = P.stableNorm() / std::sqrt(n);
    lines.push_back(std::move(line));
  };
  [&]<typename... I>(TypeList<I...>) { (add(std::type_identity<I>{}), ...); }(AllInflations{});
  return lines;
}

}  // namespace lorma::inline LORMA_ABI::analysis

#endif
