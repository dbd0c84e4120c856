// SPDX-License-Identifier: Apache-2.0
// One translation unit for clang-tidy.
#include <lorma/adapter/by_name.hpp>
#include <lorma/io/safetensors.hpp>
#include <lorma/lorma.hpp>
