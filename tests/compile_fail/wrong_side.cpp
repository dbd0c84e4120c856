// SPDX-License-Identifier: Apache-2.0
// expect: Side must be Pre (W = P W0) or Post (W = W0 P)
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Side = lorma::Identity;
#else
using Side = lorma::Post;
#endif

constexpr bool ok =
    lorma::detail::CheckPolicies<float, lorma::Identity, lorma::Auto, Side, lorma::EigenCpu>::ok;
