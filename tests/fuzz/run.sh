#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh DIRECTORY [libFuzzer options]: builds the fuzzer in DIRECTORY with clang++ and runs it from
# the cases of tests/data. Without options: two minutes.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$1
shift
[ $# -gt 0 ] || set -- -max_total_time=120
"$here/scripts/setup.sh" clang libclang-rt-dev
mkdir -p "$work/corpus"
cp "$here"/tests/data/safetensors-cases/*.safetensors "$work/corpus/"
clang++ -std=c++20 -O1 -g1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
  -I"$here/include" -isystem /usr/include/eigen3 "$here/tests/fuzz/safetensors_fuzz.cpp" \
  -o "$work/safetensors_fuzz"
cd "$work"
./safetensors_fuzz corpus -max_len=4096 -print_final_stats=1 -verbosity=0 "$@"
