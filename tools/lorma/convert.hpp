// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_CONVERT_HPP
#define LORMA_TOOLS_CONVERT_HPP

/// `lorma convert`: between LoRMA adapters and PEFT's LoRA adapters, over the base of both.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lorma_tool {

struct ConvertOptions {
  std::filesystem::path adapter;
  std::filesystem::path base;
  std::filesystem::path out;  ///< a directory that does not exist
  std::string to;             ///< "lora" or "lorma"
  std::string side = "Pre";   ///< of the LoRMA+ adapter to be made
  std::int64_t rank = 0;      ///< of a truncated change; 0: the adapter's own
};

struct ConvertedLayer {
  std::string weight;
  std::int64_t rank = 0;
  double residual = 0.0;  ///< of the change, relative; 0: exact
};

/// LoRMA+ becomes LoRA exactly; LoRMA_pi and None by the best approximation of their change at a
/// rank; LoRA becomes LoRMA+ as far as the weight allows. Throws lorma::Error.
std::vector<ConvertedLayer> convert(const ConvertOptions& options);

}  // namespace lorma_tool

#endif
