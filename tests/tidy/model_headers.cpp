// SPDX-License-Identifier: Apache-2.0
// For clang-tidy, beside all_headers.cpp: at the same time, as each takes a minute and more.
#include <lorma/model/model.hpp>
#include <lorma/patterns/pattern.hpp>
