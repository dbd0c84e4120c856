// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_ADAPTERS_HPP
#define LORMA_TOOLS_ADAPTERS_HPP

/// `lorma compose` and `lorma resize`: LoRMA+ adapters from LoRMA+ adapters, without their base.

#include "adapter_report.hpp"

namespace lorma_tool {

struct ComposeOptions {
  std::filesystem::path first;
  std::filesystem::path second;
  std::filesystem::path out;  ///< a directory that does not exist
  bool dry_run = false;       ///< compute and report, write nothing
};

/// One adapter whose merge is that of `first`, then `second`. A weight, or a slice of one, that
/// only one of them has keeps that one's factors, whatever its inflation. Throws lorma::Error where
/// both have a weight and their sides, layouts, slices or inflations do not allow one product.
AdapterReport compose(const ComposeOptions& options);

struct ResizeOptions {
  std::filesystem::path adapter;
  std::filesystem::path out;  ///< a directory that does not exist
  std::int64_t rank = 0;      ///< 0: as small as `energy` allows
  double energy = 1.0;        ///< share of ||P - I||_F^2 to keep where rank is 0
  double strength = 1.0;      ///< t of (1 - t) I + t P
  bool dry_run = false;       ///< compute and report, write nothing
};

/// The nearest adapter of another rank or strength. Throws lorma::Error for inflations other than
/// Identity.
AdapterReport resize(const ResizeOptions& options);

}  // namespace lorma_tool

#endif
