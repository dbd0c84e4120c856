// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_MODEL_COMPILED_HPP
#define LORMA_MODEL_COMPILED_HPP

/// With LORMA_COMPILED_MODEL, which the target lorma::compiled_model defines, the functions of this
/// folder are linked from src/model/model.cpp, and no other source compiles their bodies, with JSON
/// and regular expressions in them. A program that links it needs the LORMA_ABI that it was
/// compiled with.

#ifndef LORMA_COMPILED_MODEL
#define LORMA_MODEL_FUNCTION inline
#else
#define LORMA_MODEL_FUNCTION
#endif
#if !defined(LORMA_COMPILED_MODEL) || defined(LORMA_COMPILING_MODEL)
#define LORMA_MODEL_BODIES
#endif

#endif
