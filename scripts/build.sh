#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# build.sh PRESET [-DOPTION=VALUE...] [TARGET...]: configures and builds a preset of CMakePresets.json,
# everything or the targets named. A new build folder uses Ninja where it is installed; an old one
# keeps its generator. JOBS compilers run at once, by default one a core.
set -eu
cd "$(dirname "$0")/.."
preset=$1
shift
if [ -z "${CMAKE_GENERATOR:-}" ] && command -v ninja >/dev/null 2>&1; then
  export CMAKE_GENERATOR=Ninja
fi
options=""
targets=""
for argument in "$@"; do
  case $argument in
    -D*) options="$options $argument" ;;
    *) targets="$targets --target $argument" ;;
  esac
done
# shellcheck disable=SC2086
cmake --preset "$preset" $options
# shellcheck disable=SC2086
cmake --build --preset "$preset" --parallel "${JOBS:-$(nproc)}" $targets
