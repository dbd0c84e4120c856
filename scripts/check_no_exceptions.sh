#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# lorma without exceptions is refused in one sentence that names the flag, before any other error.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh clang
wanted="compile without -fno-exceptions"
for compiler in g++ clang++; do
  compile() {
    echo '#include <lorma/lorma.hpp>' |
      $compiler -std=c++20 -fsyntax-only -Iinclude -isystem /usr/include/eigen3 -x c++ "$@" - 2>&1
  }
  compile
  if log=$(compile -fno-exceptions); then
    echo "$compiler takes lorma without exceptions" >&2
    exit 1
  fi
  first=$(grep -m 1 "error:" <<<"$log")
  if [[ $first != *"$wanted"* ]]; then
    echo "$compiler: expected \"$wanted\" first, got: $first" >&2
    exit 1
  fi
  echo "$compiler: $first"
done
