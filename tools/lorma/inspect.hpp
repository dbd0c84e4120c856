// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_TOOLS_INSPECT_HPP
#define LORMA_TOOLS_INSPECT_HPP

/// `lorma inspect`: the rank of every matrix of a checkpoint.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace lorma_tool {

/// What is known of one 2-D tensor.
struct MatrixLine {
  std::string file;
  std::string name;
  std::string dtype;
  std::uint64_t rows = 0;
  std::uint64_t cols = 0;
  std::int64_t rank = 0;
  std::int64_t rank_beyond_storage = 0;  ///< of what rounding to the dtype cannot have added
  double fraction = 0.0;                 ///< rank / min(rows, cols); 1 for an empty matrix
  double condition = 0.0;
  double stable_rank = 0.0;
  double effective_rank = 0.0;
  double largest = 0.0;
  double smallest = 0.0;
  bool near_full_rank = false;
  std::vector<double> spectrum;  ///< all singular values, descending
  std::string error;             ///< why there are no numbers; empty when there are
};

struct InspectOptions {
  std::vector<std::filesystem::path>
      files;          ///< safetensors files and index files of sharded models
  std::string match;  ///< ECMAScript expression on names; empty: all
  double threshold = 0.99;
  unsigned threads = 0;  ///< 0: as many as cores
  bool progress = true;  ///< on stderr
};

struct Inspection {
  double threshold = 0.99;
  std::vector<MatrixLine> matrices;
  std::vector<std::string> broken;  ///< one line a file that could not be read
  std::size_t skipped = 0;          ///< 2-D tensors of types without arithmetic here

  std::size_t near_full() const;
  /// 2 when a file or matrix could not be read, else 1 when a matrix is below the threshold, else
  /// 0.
  int exit_code() const;
};

/// Memory: one matrix in its compute type and in double for each thread; files are mapped. A file
/// or matrix that cannot be read is reported in the result, the others are done. Throws
/// lorma::Error for a bad expression, and for one that no name has.
Inspection inspect(const InspectOptions& options);

void print_table(std::ostream& out, const Inspection& inspection);
std::string to_json(const Inspection& inspection);
std::string to_csv(const Inspection& inspection);
/// One page that needs nothing else: a table to sort by its heads, spectra as pictures.
std::string to_html(const Inspection& inspection);

}  // namespace lorma_tool

#endif
