// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_EXAMPLES_DEMO_BATCHES_HPP
#define LORMA_EXAMPLES_DEMO_BATCHES_HPP

/// Mini-batches: every token once an epoch, in an order that depends on the seed alone, so that all
/// methods see the same batches.

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <random>
#include <vector>

#include "job.hpp"

namespace demo {

class Batches {
 public:
  Batches(const Tokens& tokens, Index size, std::uint64_t seed)
      : tokens_(tokens), urbg_(seed), order_(static_cast<std::size_t>(tokens.X.cols())) {
    std::iota(order_.begin(), order_.end(), Index{0});
    next_ = order_.size();
    size = std::min(size, tokens.X.cols());
    X.resize(tokens.X.rows(), size);
    target.resize(tokens.target.rows(), size);
  }

  void advance() {
    for (Index j = 0; j < X.cols(); ++j) {
      if (next_ == order_.size()) shuffle();
      const Index from = order_[next_++];
      X.col(j) = tokens_.X.col(from);
      target.col(j) = tokens_.target.col(from);
    }
  }

  Matrix X;       ///< k x batch
  Matrix target;  ///< d x batch

 private:
  // std::shuffle differs between standard libraries.
  void shuffle() {
    for (std::size_t i = order_.size() - 1; i > 0; --i) {
      const double u = std::generate_canonical<double, 53>(urbg_);
      const auto other = static_cast<std::size_t>(u * static_cast<double>(i + 1));
      std::swap(order_[i], order_[std::min(i, other)]);
    }
    next_ = 0;
  }

  const Tokens& tokens_;
  std::mt19937_64 urbg_;
  std::vector<Index> order_;
  std::size_t next_;
};

}  // namespace demo

#endif
