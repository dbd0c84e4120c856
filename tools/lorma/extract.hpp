// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_EXTRACT_HPP
#define LORMA_TOOLS_EXTRACT_HPP

/// `lorma extract`: the adapter that lies between a checkpoint and a tuned one.

#include "adapter_report.hpp"

namespace lorma_tool {

struct ExtractOptions {
  std::filesystem::path base;
  std::filesystem::path tuned;
  std::filesystem::path out;  ///< a directory that does not exist
  std::string to = "lorma";   ///< LoRMA+ factors, or "lora": those of an additive adapter
  std::int64_t rank = 0;      ///< at most; 0: 16, or any where energy or tolerance is given
  double energy = 1.0;        ///< share of the squared change that is enough
  double tolerance = 0.0;     ///< relative error of the change that is small enough
  std::string side = "Pre";
  std::string prefix;       ///< put before the modules of a LoRA adapter
  std::string match;        ///< only tensors whose name has this regular expression
  bool in_out = false;      ///< weights are stored in x out (GPT-2's Conv1D)
  std::string fused;        ///< weights whose name has this expression are split ...
  std::int64_t slices = 3;  ///< ... into so many equal parts of their outputs
  bool dry_run = false;     ///< compute and report, write nothing
  bool progress = true;     ///< on stderr
};

/// Factors for every 2-D tensor that changed; embeddings and others are named, not adapted. Throws
/// lorma::Error for tensors of other shapes than the base's.
AdapterReport extract(const ExtractOptions& options);

}  // namespace lorma_tool

#endif
