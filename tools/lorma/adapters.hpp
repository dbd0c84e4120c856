// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_ADAPTERS_HPP
#define LORMA_TOOLS_ADAPTERS_HPP

/// `lorma compose` and `lorma resize`: LoRMA+ adapters from LoRMA+ adapters, without their base.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lorma_tool {

/// One layer of an adapter that was made.
struct MadeLayer {
  std::string weight;
  std::int64_t rank = 0;
  double dropped = 0.0;  ///< of P - I, relative, in the Frobenius norm
};

/// One adapter whose merge is that of `first`, then `second`. A weight that only one of them has
/// keeps that one's factors, whatever its inflation. Throws lorma::Error where both have a weight
/// and their side, layout or inflation do not allow one product.
std::vector<MadeLayer> compose(const std::filesystem::path& first,
                               const std::filesystem::path& second,
                               const std::filesystem::path& out);

struct ResizeOptions {
  std::filesystem::path adapter;
  std::filesystem::path out;  ///< a directory that does not exist
  std::int64_t rank = 0;      ///< 0: as small as `energy` allows
  double energy = 1.0;        ///< share of ||P - I||_F^2 to keep where rank is 0
  double strength = 1.0;      ///< t of (1 - t) I + t P
};

/// The nearest adapter of another rank or strength. Throws lorma::Error for inflations other than
/// Identity.
std::vector<MadeLayer> resize(const ResizeOptions& options);

}  // namespace lorma_tool

#endif
