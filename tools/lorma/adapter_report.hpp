// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_ADAPTER_REPORT_HPP
#define LORMA_TOOLS_ADAPTER_REPORT_HPP

/// What convert, compose, resize and extract say of the adapters that they make.

#include <cstdint>
#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

namespace lorma_tool {

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

/// A line a layer.
void print(std::ostream& out, const AdapterReport& report);
std::string to_json(const AdapterReport& report);

/// Throws lorma::Error where something is at the path.
void require_absent(const std::filesystem::path& out);

}  // namespace lorma_tool

#endif
