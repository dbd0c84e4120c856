#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What `#include <lorma/lorma.hpp>` costs beside `#include <Eigen/Dense>`: medians of 5, written into
# docs/benchmarks.md between its markers.
set -euo pipefail
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
  echo "$("$compiler" --version | head -1); medians of 5, milliseconds."
  echo
  echo "| flags | \`<Eigen/Dense>\` | \`<lorma/lorma.hpp>\` | ratio |"
  echo "|---|---|---|---|"
  for level in -O0 -O2; do
    e=$(median_of_5 Eigen/Dense "$level")
    l=$(median_of_5 lorma/lorma.hpp "$level")
    echo "| \`$level\` | $e | $l | $(awk "BEGIN{printf \"%.2f\", $l / $e}") |"
  done
} >"$work/table"
cat "$work/table"
awk -v table="$work/table" '
  /<!-- compile-time:begin -->/ { print; while ((getline line < table) > 0) print line; skip = 1 }
  /<!-- compile-time:end -->/ { skip = 0 }
  !skip && !/<!-- compile-time:begin -->/ { print }
' docs/benchmarks.md >"$work/page"
cp "$work/page" docs/benchmarks.md
