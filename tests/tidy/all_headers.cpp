// SPDX-License-Identifier: Apache-2.0
// One translation unit for clang-tidy.
#include <lorma/adapter/by_name.hpp>
#include <lorma/analysis/analysis.hpp>
#include <lorma/convert/lora_exchange.hpp>
#include <lorma/convert/plus_algebra.hpp>
#include <lorma/io/safetensors.hpp>
#include <lorma/lorma.hpp>
#include <lorma/model/model.hpp>
#include <lorma/patterns/pattern.hpp>
