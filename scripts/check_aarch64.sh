#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Transforms, Spectral and the laws of one inflation on aarch64, by a cross compiler and qemu.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh g++-aarch64-linux-gnu qemu-user
export CXX=aarch64-linux-gnu-g++
export RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu"
scripts/test_with.sh aarch64 fft/transform_test.cpp operators/spectral_test.cpp \
  adapter/laws_cyclic_permutation_test.cpp support/references.cpp
