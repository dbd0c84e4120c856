#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The transforms on lanes that are Eigen arrays, as compilers without GNU vectors have them.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh
export FLAGS="-DLORMA_NO_GNU_VECTORS"
scripts/test_with.sh no-gnu-vectors fft/transform_test.cpp operators/spectral_test.cpp
