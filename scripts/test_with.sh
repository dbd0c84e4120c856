#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# test_with.sh NAME FILE...: builds the named files of tests as one program, build/NAME/tests, and
# runs it. For compilers and flags that no preset has: $CXX (g++), $FLAGS, $LIBRARIES to link, and
# $RUNNER in front of the program.
set -euo pipefail
cd "$(dirname "$0")/.."

name=$1
shift
folder=build/$name
mkdir -p "$folder/include"
ln -sfn /usr/include/doctest "$folder/include/doctest" # a cross compiler may not see /usr/include

# Files have most of their templates in common, so that each core compiles its share of them together:
# what they include, then each in a namespace of its own (cmake/LormaTogether.cmake does the same).
together() {
  local file stem line
  for file in "$@"; do
    grep -E '^#(include|if|ifdef|ifndef|else|endif)' "tests/$file" | while IFS= read -r line; do
      if [[ $line =~ ^#include\ \"(.*)\" && -e tests/$(dirname "$file")/${BASH_REMATCH[1]} ]]; then
        line="#include \"$PWD/tests/$(dirname "$file")/${BASH_REMATCH[1]}\""
      fi
      echo "$line"
    done
  done
  for file in "$@"; do
    stem=$(basename "$file" .cpp)
    printf 'namespace %s {\n#include "%s"\n}\n' "$stem" "$PWD/tests/$file"
  done
}

compile() {
  # shellcheck disable=SC2086
  ${CXX:-g++} -std=c++20 -O1 -Wall -Wextra -Wpedantic ${FLAGS:-} -Iinclude \
    -isystem /usr/include/eigen3 -isystem "$folder/include" \
    -DLORMA_TEST_DATA_DIR="\"$PWD/tests/data\"" -c "$1" -o "$folder/$(basename "$1").o"
}
export -f compile
export CXX FLAGS folder

rm -f "$folder"/*.o "$folder"/*.cpp
cores=$(nproc)
for ((core = 0; core < cores && core < $#; ++core)); do
  share=()
  for ((i = core + 1; i <= $#; i += cores)); do share+=("${!i}"); done
  together "${share[@]}" >"$folder/share_$core.cpp"
done
printf '%s\n' "$folder"/share_*.cpp tests/main.cpp | xargs -P "$cores" -I{} bash -ec 'compile {}'
# shellcheck disable=SC2086
${CXX:-g++} ${FLAGS:-} "$folder"/*.o -o "$folder/tests" -pthread ${LIBRARIES:-}
# shellcheck disable=SC2086
${RUNNER:-} "$folder/tests"
