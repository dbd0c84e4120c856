// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_DIFF_HPP
#define LORMA_TOOLS_DIFF_HPP

/// `lorma diff`: what differs between two checkpoints.

#include <cstdint>
#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

namespace lorma_tool {

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

/// A line a tensor.
void print(std::ostream& out, const std::vector<TensorDifference>& differences);
std::string to_json(const std::vector<TensorDifference>& differences);

}  // namespace lorma_tool

#endif
