// SPDX-License-Identifier: Apache-2.0
// expect: the Inflation needs `static constexpr std::string_view name`
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
struct Mine {};
#else
using Mine = lorma::Identity;
#endif

constexpr bool ok = lorma::detail::CheckInflation<Mine>::ok;
