// SPDX-License-Identifier: Apache-2.0
// Adapters and their files, once for all who link it.

#define LORMA_COMPILING_IO
#include <lorma/io/lorma_directory.hpp>
#include <lorma/io/peft_lora.hpp>
#include <lorma/io/safetensors_header.hpp>
