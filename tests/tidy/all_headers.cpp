// SPDX-License-Identifier: Apache-2.0
// For clang-tidy, beside model_headers.cpp.
#include <lorma/adapter/by_name.hpp>
#include <lorma/analysis/analysis.hpp>
#include <lorma/convert/lora_exchange.hpp>
#include <lorma/convert/plus_algebra.hpp>
#include <lorma/io/safetensors.hpp>
#include <lorma/lorma.hpp>
