// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_BENCHMARKS_PEERS_HPP
#define LORMA_BENCHMARKS_PEERS_HPP

/// Who is timed on what. Every peer does the same jobs on the same shapes in one process.

#include <benchmark/benchmark.h>

#include <limits>
#include <lorma/core/types.hpp>
#include <string>
#include <vector>

namespace bench {

using lorma::Index;
using Matrix = lorma::Matrix<float>;

/// W0 is d x k, b tokens, rank r; the adapter is on the output side (Pre), n = d.
struct Sizes {
  Index d, k, b, r;
};

/// A peer's jobs; one that it does not know is null.
struct Peer {
  std::string name;
  void (*forward)(benchmark::State&, Sizes) = nullptr;
  void (*training)(benchmark::State&, Sizes) = nullptr;  ///< forward, then dX and factor gradients
  void (*merge)(benchmark::State&, Sizes) = nullptr;
  void (*unmerge)(benchmark::State&, Sizes) = nullptr;
  Index largest = std::numeric_limits<Index>::max();  ///< n beyond which it would take minutes
  Index largest_unmerge = std::numeric_limits<Index>::max();
};

/// The numbers of one layer.
struct Layer {
  explicit Layer(const Sizes& s)
      : W0(Matrix::Random(s.d, s.k)), X(Matrix::Random(s.k, s.b)), G(Matrix::Random(s.d, s.b)) {}
  Matrix W0, X, G;
};

std::vector<Peer> frozen_peers();           ///< the layer alone, the BLAS alone, LoRA
std::vector<Peer> lorma_peers();            ///< ours
std::vector<Peer> published_eigen_peers();  ///< the published algorithm on Eigen
std::vector<Peer> published_torch_peers();  ///< the same and LoRA on PyTorch's C++ library

}  // namespace bench

#endif
