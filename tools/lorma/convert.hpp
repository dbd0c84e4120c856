// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_CONVERT_HPP
#define LORMA_TOOLS_CONVERT_HPP

/// `lorma convert`: between LoRMA adapters and PEFT's LoRA adapters, over the base of both.

#include "adapter_report.hpp"
#include "changes.hpp"

namespace lorma_tool {

struct ConvertOptions {
  std::filesystem::path adapter;
  std::filesystem::path base;
  std::filesystem::path out;  ///< a directory that does not exist
  std::string to;             ///< "lora" or "lorma"
  std::string side = "Pre";   ///< of the LoRMA+ adapter to be made
  std::int64_t rank = 0;      ///< at most, of a truncated change; 0: the adapter's own
  double energy = 1.0;        ///< share of the squared change that is enough; `rank` 0: any rank
  std::string prefix;         ///< put before the modules of a LoRA adapter to be made
  LoraLayout lora_layout = LoraLayout::by_shape;
  bool any_base = false;  ///< take a base whose fingerprint is another
  bool dry_run = false;   ///< compute and report, write nothing
  bool progress = true;   ///< on stderr
};

/// LoRMA+ becomes LoRA exactly, unless a rank or an energy is asked for; LoRMA_pi and None by the
/// best approximation of their change; slices of one weight become one LoRA layer of the sum of
/// their ranks. LoRA becomes LoRMA+ as far as the weight allows. Throws lorma::Error.
AdapterReport convert(const ConvertOptions& options);

}  // namespace lorma_tool

#endif
