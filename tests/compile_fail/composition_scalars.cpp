// SPDX-License-Identifier: Apache-2.0
// expect: all adapters need the same Scalar
#include <lorma/lorma.hpp>

#ifdef LORMA_FAIL
using Second = lorma::Adapter<double>;
#else
using Second = lorma::Adapter<float>;
#endif

using All = lorma::Composition<lorma::Adapter<float>, Second>;
std::size_t size = sizeof(All);
