// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_ADAPTER_REPORT_HPP
#define LORMA_MODEL_ADAPTER_REPORT_HPP

/// What convert, compose, resize and extract say of the adapters that they make.

#include <cstdint>
#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

#include "lorma/io/message.hpp"
#include "lorma/model/compiled.hpp"

namespace lorma::inline LORMA_ABI::model {

/// One layer of an adapter that was made.
struct LayerReport {
  std::string name;  ///< of the weight, with "[first:end]" for a slice, or of LoRA's module
  std::int64_t rank = 0;
  /// What the factors miss of the change, relative: as written for convert and extract, before
  /// rounding to float for resize; 0 for compose.
  double residual = 0.0;
  std::string side = {};  ///< of a multiplier; empty: not told
  /// Theorem 1 of the paper, for extract: the rank of W0 (-1: not measured), the rank it would need
  /// for multipliers of that side to reach every weight, and the share of this change that none of
  /// them can reach.
  std::int64_t base_rank = -1;
  std::int64_t needed_rank = -1;
  double unreachable = 0.0;
  /// The same share for the other side; below 0: not measured, as this side reaches all of it.
  double unreachable_from_other_side = -1.0;

  /// Theorem 1's verdict in words; empty where base_rank is -1.
  std::string verdict() const;
};

struct AdapterReport {
  std::vector<LayerReport> layers;
  std::vector<std::string> remarks;  ///< what a person should know
};

/// Shares of a change up to this are rounding.
inline constexpr double reached = 1e-5;

/// Adds a remark where factors miss more than a hundredth of their change.
LORMA_MODEL_FUNCTION void warn_of_residuals(AdapterReport& report);

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION std::string LayerReport::verdict() const {
  if (base_rank < 0) return "";
  std::ostringstream text;
  text << std::setprecision(3);
  const bool pre = side != "Post";
  const std::string here = pre ? "Pre" : "Post";
  const std::string other = pre ? "Post" : "Pre";
  const std::string ranks = (pre ? "column rank " : "row rank ") + std::to_string(base_rank) +
                            " of " + std::to_string(needed_rank);
  if (base_rank == needed_rank) {
    text << "W0 has full " << ranks << ": a " << here << " multiplier reaches every weight"
         << " (Theorem 1)";
    return text.str();
  }
  if (unreachable <= reached) {
    text << "W0 has " << ranks << ", and " << here << " multipliers reach this change";
    return text.str();
  }
  text << "W0 has " << ranks << ": " << 100.0 * unreachable << " % of the change is beyond every "
       << here << " multiplier (Theorem 1)";
  if (unreachable_from_other_side >= 0.0) {
    if (unreachable_from_other_side <= reached) {
      text << "; " << other << " reaches it";
    } else {
      text << ", " << 100.0 * unreachable_from_other_side << " % beyond every " << other
           << " multiplier";
    }
  }
  return text.str();
}

LORMA_MODEL_FUNCTION void warn_of_residuals(AdapterReport& report) {
  constexpr double most = 0.01;
  std::size_t count = 0;
  const LayerReport* worst = nullptr;
  for (const LayerReport& layer : report.layers) {
    if (!(layer.residual > most)) continue;
    ++count;
    if (worst == nullptr || layer.residual > worst->residual) worst = &layer;
  }
  if (worst == nullptr) return;
  std::ostringstream text;
  text << "warning: the adapter misses more than 1 % of the change of " << count << " of "
       << report.layers.size() << " weights, most of " << lorma::detail::in_quotes(worst->name)
       << ": " << std::setprecision(3) << 100.0 * worst->residual << " %";
  report.remarks.push_back(text.str());
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
