#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# compile_time.sh OUT_DIR: what a file costs to compile, beside `#include <Eigen/Dense>` alone: one that includes
# <lorma/lorma.hpp>, and three_inflations.cpp with the headers alone and linking lorma::compiled. CPU milliseconds,
# the least of 7 in turns, into OUT_DIR/compile_time.json.
set -euo pipefail
out=$1
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/.."
compiler=${CXX:-g++}
eigen=${EIGEN_DIR:-/usr/include/eigen3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '#include <Eigen/Dense>\nint main() {}\n' >"$work/eigen.cpp"
printf '#include <lorma/lorma.hpp>\nint main() {}\n' >"$work/lorma.cpp"

cpu_milliseconds() {  # optimization, option..., file
  local TIMEFORMAT='%U %S'
  { time "$compiler" -std=c++20 "$@" -Iinclude -isystem "$eigen" -c -o "$work/t.o" 2>"$work/errors"; } 2>&1 |
    awk '{ printf "%.0f\n", 1000 * ($1 + $2) }' || {
    cat "$work/errors" >&2
    return 1
  }
}

least() { sort -n "$work/$1" | head -1; }

{
  echo "{\"compiler\": \"$("$compiler" --version | head -1)\""
  for level in O0 O2; do
    rm -f "$work"/eigen "$work"/lorma "$work"/headers "$work"/compiled
    for _ in 1 2 3 4 5 6 7; do
      cpu_milliseconds -$level "$work/eigen.cpp" >>"$work/eigen"
      cpu_milliseconds -$level "$work/lorma.cpp" >>"$work/lorma"
      cpu_milliseconds -$level -DLORMA_COMPILED benchmarks/three_inflations.cpp >>"$work/compiled"
      cpu_milliseconds -$level benchmarks/three_inflations.cpp >>"$work/headers"
    done
    echo ", \"$level\": {\"eigen\": $(least eigen), \"lorma\": $(least lorma), \"compiled\": $(least compiled), \"headers\": $(least headers)}"
  done
  echo "}"
} >"$out/compile_time.json"
cat "$out/compile_time.json"
