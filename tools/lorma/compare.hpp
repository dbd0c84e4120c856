// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_COMPARE_HPP
#define LORMA_TOOLS_COMPARE_HPP

/// `lorma extract` and `lorma diff`: what lies between two checkpoints.

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace lorma_tool {

struct ExtractOptions {
  std::filesystem::path base;
  std::filesystem::path tuned;
  std::filesystem::path out;  ///< a directory that does not exist
  std::int64_t rank = 16;     ///< at most
  double energy = 1.0;        ///< share of the reachable change to keep, at most `rank`
  std::string side = "Pre";
  std::string match;  ///< only tensors whose name has this regular expression
  bool progress = true;
};

struct ExtractedLayer {
  std::string weight;
  std::int64_t rank = 0;
  double residual = 0.0;     ///< of the change, relative
  double unreachable = 0.0;  ///< that no rank goes below (Theorem 1)
};
struct Extraction {
  std::vector<ExtractedLayer> layers;
  std::vector<std::string> left_alone;  ///< changed tensors that are no weights of a layer, and why
};

/// LoRMA+ factors for every 2-D tensor that changed; embeddings and others are named, not adapted.
/// Throws lorma::Error for tensors of other shapes than the base's.
Extraction extract(const ExtractOptions& options);

struct TensorDifference {
  std::string name;
  std::string dtype;
  std::string shape;
  bool only_in_one = false;
  double relative = 0.0;         ///< ||b - a||_F / ||a||_F, or ||b|| where a = 0
  std::int64_t rank = 0;         ///< of b - a; 2-D tensors
  double stable_rank = 0.0;      ///< of b - a
  std::vector<double> spectrum;  ///< of b - a, where it was asked for
};

/// Every tensor that differs. Types must be of arithmetic; others are compared byte for byte.
std::vector<TensorDifference> diff(const std::filesystem::path& a, const std::filesystem::path& b,
                                   bool with_spectra, bool progress);
std::string to_json(const std::vector<TensorDifference>& differences);

}  // namespace lorma_tool

#endif
