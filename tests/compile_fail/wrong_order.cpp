// SPDX-License-Identifier: Apache-2.0
// expect: Order must be Auto, ActivationFirst<Evaluation> or WeightFirst<Evaluation>
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Order = lorma::Factored;
#else
using Order = lorma::ActivationFirst<lorma::Factored>;
#endif

lorma::Adapter<float, lorma::Identity, Order> adapter(4, 1, 1.0F);
