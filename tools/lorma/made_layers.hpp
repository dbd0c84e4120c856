// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_MADE_LAYERS_HPP
#define LORMA_TOOLS_MADE_LAYERS_HPP

/// What convert, compose, resize and extract say of the adapters that they make.

#include <cstdint>
#include <filesystem>
#include <lorma/core/types.hpp>
#include <ostream>
#include <string>
#include <vector>

namespace lorma_tool {

/// One layer of an adapter that was made.
struct MadeLayer {
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

struct MadeAdapter {
  std::vector<MadeLayer> layers;
  std::vector<std::string> remarks;  ///< what a person should know
};

/// ||D - B A||_F / ||D||_F for the change D and factors as they are written; 0 where D = 0.
double residual_of(const lorma::Matrix<double>& change, const lorma::Matrix<float>& B,
                   const lorma::Matrix<float>& A);

/// A line a layer.
void print(std::ostream& out, const MadeAdapter& made);
std::string to_json(const MadeAdapter& made);

/// Throws lorma::Error where something is at the path.
void require_absent(const std::filesystem::path& out);

}  // namespace lorma_tool

#endif
