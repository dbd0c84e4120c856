// SPDX-License-Identifier: Apache-2.0
// expect: this Inflation does not permit this Evaluation: use Factored or Dense with
#include <lorma/adapter/adapter.hpp>

#ifdef LORMA_FAIL
using Order = lorma::ActivationFirst<lorma::Factored>;
#else
using Order = lorma::ActivationFirst<lorma::Dense>;
#endif

lorma::Adapter<float, lorma::CyclicPermutation, Order> adapter(4, 1, 1.0F);
