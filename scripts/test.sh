#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# test.sh PRESET [TEST...]: builds a preset and passes its tests, all or those named with what they need.
set -eu
cd "$(dirname "$0")/.."
preset=$1
shift
targets=""
names=""
for name in "$@"; do
  targets="$targets test_$name"
  names="$names${names:+|}$name"
done
# shellcheck disable=SC2086
scripts/build.sh "$preset" $targets
# Files are synced to the disk before they count, for longer than most tests take: memory is faster.
if [ -z "${TMPDIR:-}" ] && [ -w /dev/shm ] && [ "$(df -Pk /dev/shm | awk 'END { print $4 }')" -gt 2000000 ]; then
  export TMPDIR=/dev/shm
fi
if [ -n "$names" ]; then set -- -R "^($names)\$"; fi
ctest --preset "$preset" --parallel "${JOBS:-$(nproc)}" "$@"
