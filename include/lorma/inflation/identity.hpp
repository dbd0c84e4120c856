// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_INFLATION_IDENTITY_HPP
#define LORMA_INFLATION_IDENTITY_HPP

/// LoRMA+: I(M) = I + M (the paper's I_+). Starts as exactly the identity: B = 0.

#include <cmath>

#include "lorma/core/random.hpp"
#include "lorma/inflation/inflation.hpp"

namespace lorma::inline LORMA_ABI {

struct Identity {
  static constexpr std::string_view name = "Identity";
  using Evaluations = EvaluationList<Factored, Dense>;
  static constexpr Index copies = 1;
  static constexpr bool starts_as_identity = true;
  static constexpr bool adds_identity = true;

  template <typename Backend, typename S>
  static MatrixView<S> inflate(typename Backend::Workspace& workspace, const MatrixView<S>& T) {
    Backend::add_identity(workspace, 1, T);
    return T;
  }
  template <typename Backend, typename S>
  static MatrixView<S> deflate(typename Backend::Workspace&, const MatrixView<S>& T) {
    return T;
  }

  /// B = 0, A ~ U(-1/sqrt(n), 1/sqrt(n)).
  template <typename S, typename Urbg>
  static void initialize(const MatrixView<S>& B, const MatrixView<S>& A, S /*scale*/, Urbg& urbg) {
    fill_uniform(A, 1.0 / std::sqrt(static_cast<double>(B.rows)), urbg);
  }
};

static_assert(InflationPolicy<Identity>);

}  // namespace lorma::inline LORMA_ABI

#endif
