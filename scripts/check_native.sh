#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Transforms, operators and the adapter's allocations by g++, optimized, with all instructions of this
# machine: no BLAS, no threads.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
export FLAGS="-march=native"
scripts/test_with.sh native fft/transform_test.cpp operators/operators_test.cpp operators/inverse_test.cpp \
  operators/spectral_test.cpp support/references.cpp
scripts/test_with.sh native-allocation adapter/no_allocation_test.cpp
