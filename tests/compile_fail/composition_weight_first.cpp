// SPDX-License-Identifier: Apache-2.0
// expect: adapters act on activations here
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Order = lorma::WeightFirst<>;
#else
using Order = lorma::Auto;
#endif

using Tested = lorma::Adapter<float, lorma::Identity, Order>;
using All = lorma::Composition<Tested, lorma::Adapter<float>>;
std::size_t size = sizeof(All);
