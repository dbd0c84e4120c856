// SPDX-License-Identifier: Apache-2.0
// expect: the Inflation needs `using Evaluations = EvaluationList<...>`
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
struct Mine {
  static constexpr std::string_view name = "Mine";
};
#else
using Mine = lorma::None;
#endif

constexpr bool ok = lorma::detail::CheckInflation<Mine>::ok;
