// SPDX-License-Identifier: Apache-2.0
#ifndef LORMA_IO_SAFETENSORS_HPP
#define LORMA_IO_SAFETENSORS_HPP

/// Reading and writing safetensors files. Needs nlohmann/json; not part of the umbrella header.

#include "lorma/io/safetensors_reader.hpp"
#include "lorma/io/safetensors_writer.hpp"

#endif
