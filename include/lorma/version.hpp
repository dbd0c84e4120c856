// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_VERSION_HPP
#define LORMA_VERSION_HPP

/// The one source of the version: CMake reads it from here.
#define LORMA_VERSION_MAJOR 0
#define LORMA_VERSION_MINOR 1
#define LORMA_VERSION_PATCH 0
#define LORMA_VERSION_STRING "0.1.0"

#endif
