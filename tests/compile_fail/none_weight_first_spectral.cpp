// SPDX-License-Identifier: Apache-2.0
// expect: this Inflation does not permit this Evaluation: use Factored or Dense with
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Tested = lorma::Adapter<float, lorma::None, lorma::WeightFirst<lorma::Spectral>>;
#else
using Tested = lorma::Adapter<float, lorma::None, lorma::WeightFirst<lorma::Dense>>;
#endif

Tested adapter(4, 1, 1);
