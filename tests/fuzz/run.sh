#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh DIRECTORY [libFuzzer options]: builds the fuzzers in DIRECTORY with clang++ and runs them, one
# after the other, from the cases of tests/data. Without options: two minutes in all.
set -eu
here=$(cd "$(dirname "$0")/../.." && pwd)
work=$1
shift
[ $# -gt 0 ] || set -- -max_total_time=40
"$here/scripts/setup.sh" clang libclang-rt-dev
mkdir -p "$work/safetensors" "$work/config" "$work/index"
cp "$here"/tests/data/safetensors-cases/*.safetensors "$work/safetensors/"
# The first byte of a configuration's case chooses the tensors beside it.
number=0
for config in "$here"/tests/data/peft/*/adapter/adapter_config.json \
  "$here"/tests/data/reports/*/adapter/adapter_config.json "$here"/tests/data/serve/adapter/adapter_config.json; do
  number=$((number + 1))
  for kind in 0 1 2; do
    { printf %s $kind && cat "$config"; } >"$work/config/$number-$kind"
  done
done
printf '{"metadata": {"total_size": 32}, "weight_map": {"one.weight": "a.safetensors", "two.weight": "b.safetensors"}}' \
  >"$work/index/sound"
for name in safetensors config index; do
  clang++ -std=c++20 -O1 -g1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
    -I"$here/include" -isystem /usr/include/eigen3 "$here/tests/fuzz/${name}_fuzz.cpp" \
    -o "$work/${name}_fuzz" -lpcre2-8
done
cd "$work"
for name in safetensors config index; do
  ./${name}_fuzz $name -max_len=4096 -print_final_stats=1 -verbosity=0 "$@"
done
