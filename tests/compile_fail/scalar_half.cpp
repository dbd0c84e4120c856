// SPDX-License-Identifier: Apache-2.0
// expect: Scalar must be float or double
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Scalar = Eigen::half;
#else
using Scalar = float;
#endif

constexpr bool ok = lorma::detail::CheckPolicies<Scalar, lorma::Identity, lorma::Auto, lorma::Pre,
                                                 lorma::EigenCpu>::ok;
