// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_ADAPTER_REPORT_HPP
#define LORMA_MODEL_ADAPTER_REPORT_HPP

/// What convert, compose, resize and extract say of the adapters that they make.

#include <cstdint>
#include <filesystem>
#include <iomanip>
#include <sstream>
#include <string>
#include <vector>

#include "lorma/io/message.hpp"
#include "lorma/model/compiled.hpp"

namespace lorma::inline LORMA_ABI::model {

/// One layer of an adapter that was made.
struct LayerReport {
  std::string name;  ///< of the weight, with "[first:end]" where it is a slice of its outputs
  std::int64_t rank = 0;
  double residual = 0.0;  ///< what the factors, as written, miss of the change; relative
  /// Theorem 1 of the paper, where it was asked: the rank that W0 has and would need for every
  /// target to be reached by a multiplier, and the share of this change that none can reach.
  std::int64_t base_rank = -1;
  std::int64_t needed_rank = -1;
  double unreachable = 0.0;

  /// In words; empty where it was not asked.
  std::string verdict() const;
};

struct AdapterReport {
  std::vector<LayerReport> layers;
  std::vector<std::string> remarks;  ///< what a person should know
};

/// Throws Error where something is at the path.
LORMA_MODEL_FUNCTION void require_absent(const std::filesystem::path& out);

#ifdef LORMA_MODEL_BODIES
LORMA_MODEL_FUNCTION std::string LayerReport::verdict() const {
  if (base_rank < 0) return "";
  std::ostringstream text;
  const std::string ranks = std::to_string(base_rank) + " of " + std::to_string(needed_rank);
  if (base_rank == needed_rank) {
    text << "W0 has full rank " << ranks << ": a multiplier reaches every weight (Theorem 1)";
  } else {
    text << "W0 has rank " << ranks << ": " << std::setprecision(3) << 100.0 * unreachable
         << " % of the change is beyond every multiplier (Theorem 1)";
  }
  return text.str();
}

LORMA_MODEL_FUNCTION void require_absent(const std::filesystem::path& out) {
  if (!std::filesystem::exists(std::filesystem::symlink_status(out))) return;
  throw Error(lorma::detail::in_quotes(out.string(), 1024) +
              ": expected an output that does not exist");
}
#endif

}  // namespace lorma::inline LORMA_ABI::model

#endif
