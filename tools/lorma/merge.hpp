// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_MERGE_HPP
#define LORMA_TOOLS_MERGE_HPP

/// `lorma merge` and `lorma unmerge`: an adapter into a checkpoint, or out of it again.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "changes.hpp"

namespace lorma_tool {

struct MergeOptions {
  std::filesystem::path base;     ///< file, index or directory (checkpoint.hpp)
  std::filesystem::path adapter;  ///< directory of a LoRMA or PEFT LoRA adapter
  std::filesystem::path out;      ///< a file for a file, else a directory that does not exist
  bool unmerge = false;
  double strength = 1.0;     ///< t of (1 - t) W0 + t W
  bool in_double = false;    ///< compute in double; F64 weights always are
  bool check_first = false;  ///< look for NaN and infinity in all results before any is written
  bool any_base = false;     ///< take a base whose fingerprint is another
  LoraLayout lora_layout = LoraLayout::by_shape;
  bool force = false;    ///< replace an output file
  bool dry_run = false;  ///< check everything that reading headers and factors can
  bool progress = true;  ///< on stderr
};

struct MergedTensor {
  std::string name;
  std::string file;
  std::string dtype;
  std::int64_t rows = 0;  ///< as stored
  std::int64_t cols = 0;
  std::string adapter;  ///< "Identity, Pre, rank 8"
};

struct MergeReport {
  std::vector<MergedTensor> tensors;
  std::uint64_t copied = 0;          ///< tensors that are as they were
  std::uint64_t bytes = 0;           ///< of all tensors written
  std::vector<std::string> remarks;  ///< what a person should know
  double seconds = 0.0;
};

/// The next weights are computed while one is written, as many as there are cores but four at most:
/// memory of so many adapted weights in the compute type and in their own, the factors and a few
/// pages. Each weight is computed in float (or
/// double) and rounded once to its own type. Throws lorma::Error, with all tensors that are missing
/// or misshaped in one message; the output is then absent and the input whole.
MergeReport merge(const MergeOptions& options);

std::string to_json(const MergeReport& report);

}  // namespace lorma_tool

#endif
