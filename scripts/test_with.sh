#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_with.sh NAME FILE...: builds the named files of tests as one program, build/NAME/tests, and
# runs it; those in support/ are compiled by themselves. For compilers and flags that no preset has:
# $CXX (g++), $FLAGS, $LIBRARIES to link, and $RUNNER in front of the program. JOBS compilers run at
# once, by default one a core.
set -euo pipefail
cd "$(dirname "$0")/.."

name=$1
shift
folder=build/$name
mkdir -p "$folder/include"
ln -sfn /usr/include/doctest "$folder/include/doctest" # a cross compiler may not see /usr/include

compile() {
  # shellcheck disable=SC2086
  ${CXX:-g++} -std=c++20 -O1 -Wall -Wextra -Wpedantic ${FLAGS:-} -Iinclude \
    -isystem /usr/include/eigen3 -isystem "$folder/include" \
    -DLORMA_TEST_DATA_DIR="\"$PWD/tests/data\"" -c "$1" -o "$folder/$(basename "$1").o"
}
export -f compile
export CXX FLAGS folder

sources=(tests/main.cpp)
for file in "$@"; do
  shift
  if [[ $file == support/* ]]; then sources+=("tests/$file"); else set -- "$@" "$file"; fi
done
# Each core compiles its share of the files together.
rm -f "$folder"/*.o "$folder"/*.cpp
root=$PWD
cores=${JOBS:-$(nproc)}
for ((core = 0; core < cores && core < $#; ++core)); do
  share=()
  for ((i = core + 1; i <= $#; i += cores)); do share+=("$root/tests/${!i}"); done
  source=$(cd "$folder" && IFS=';' && cmake -D "NAME=share_$core" -D "SOURCES=${share[*]}" -P "$root/scripts/together.cmake")
  sources+=("$source")
done
printf '%s\n' "${sources[@]}" | xargs -P "$cores" -I{} bash -ec 'compile {}'
# shellcheck disable=SC2086
${CXX:-g++} ${FLAGS:-} "$folder"/*.o -o "$folder/tests" -pthread ${LIBRARIES:-}
# shellcheck disable=SC2086
${RUNNER:-} "$folder/tests"
