// SPDX-License-Identifier: Apache-2.0
// expect: inflate(Workspace&, const MatrixView<S>&)
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
struct Mine {
  static constexpr std::string_view name = "Mine";
  using Evaluations = lorma::EvaluationList<lorma::Dense>;
  static constexpr lorma::Index copies = 1;
  static constexpr bool starts_as_identity = false;
};
#else
using Mine = lorma::CyclicPermutation;
#endif

constexpr bool ok = lorma::detail::CheckInflation<Mine>::ok;
