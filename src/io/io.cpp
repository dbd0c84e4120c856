// SPDX-License-Identifier: Apache-2.0
// Files, once for all who link it.

#define LORMA_COMPILING_IO
#include <lorma/io/json_file.hpp>
#include <lorma/io/safetensors.hpp>
