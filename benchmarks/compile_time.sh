#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# compile_time.sh OUT_DIR: what `#include <lorma/lorma.hpp>` costs beside `#include <Eigen/Dense>`,
# medians of 5 in milliseconds, into OUT_DIR/compile_time.json.
set -euo pipefail
out=$1
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/.."
compiler=${CXX:-g++}
eigen=${EIGEN_DIR:-/usr/include/eigen3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

median_of_5() {  # header, optimization
  echo "#include <$1>
int main() {}" >"$work/t.cpp"
  for _ in 1 2 3 4 5; do
    local begin end
    begin=$(date +%s%N)
    "$compiler" -std=c++20 "$2" -Iinclude -isystem "$eigen" -c "$work/t.cpp" -o "$work/t.o"
    end=$(date +%s%N)
    echo $(((end - begin) / 1000000))
  done | sort -n | sed -n 3p
}

{
  echo "{\"compiler\": \"$("$compiler" --version | head -1)\""
  for level in O0 O2; do
    echo ", \"$level\": {\"eigen\": $(median_of_5 Eigen/Dense -$level), \"lorma\": $(median_of_5 lorma/lorma.hpp -$level)}"
  done
  echo "}"
} >"$out/compile_time.json"
cat "$out/compile_time.json"
