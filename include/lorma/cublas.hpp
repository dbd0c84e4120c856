// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_CUBLAS_HPP
#define LORMA_CUBLAS_HPP

/// The umbrella for programs with NVIDIA GPUs: lorma/lorma.hpp, the backend CuBlas
/// (backend/cublas.hpp) and its Spectral.

#include "lorma/backend/cublas.hpp"
#include "lorma/lorma.hpp"
#include "lorma/operators/spectral_cublas.hpp"

#endif
