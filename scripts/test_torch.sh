#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# test_torch.sh: lorma/torch in C++, its test and its example, against the libtorch inside the Python environment
# (python_environment.sh); with CuBlas where a CUDA toolkit is.
set -eu
cd "$(dirname "$0")/.."
python=$(scripts/python_environment.sh --packages)
torch=$("$python" -c 'import pathlib, torch; print(pathlib.Path(torch.__file__).parent)' 2>/dev/null)
set -- test_torch example_torch_training
cmake --preset test -B build/torch -DCMAKE_CXX_COMPILER=g++ -DLORMA_WITH_TORCH=ON -DCMAKE_PREFIX_PATH="$torch" \
  -DLORMA_BUILD_COMPILED=OFF -DLORMA_BUILD_TOOLS=OFF -DLORMA_TEST_CONSUMERS=OFF
if cmake --build build/torch --target help | grep test_torch_cublas >/dev/null; then set -- "$@" test_torch_cublas; fi
cmake --build build/torch --parallel "${JOBS:-$(nproc)}" --target "$@"
ctest --test-dir build/torch --output-on-failure -R '^(torch|torch_cublas|example\.torch_training)$'
