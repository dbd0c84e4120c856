// SPDX-License-Identifier: Apache-2.0
// expect: Backend must satisfy BackendPolicy
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Backend = int;
#else
using Backend = lorma::EigenCpu;
#endif

constexpr bool ok =
    lorma::detail::CheckPolicies<float, lorma::Identity, lorma::Auto, lorma::Pre, Backend>::ok;
