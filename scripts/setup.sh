#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# setup.sh [PACKAGE...]: installs the Debian or Ubuntu packages that building, testing and the demo
# need, and those named, and only what is missing. Needs root or sudo only when something is missing.
set -eu

packages="g++ make ninja-build cmake pkg-config libeigen3-dev nlohmann-json3-dev libpcre2-dev libcli11-dev doctest-dev libbenchmark-dev libopenblas-dev liblapacke-dev $*"

missing=""
for package in $packages; do
  status=$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null || true)
  [ "$status" = installed ] || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
  echo "setup: this is no Debian or Ubuntu; please install the equivalents of:$missing" >&2
  exit 1
fi
if [ "$(id -u)" -eq 0 ]; then
  as_root=""
elif command -v sudo >/dev/null 2>&1; then
  as_root="sudo"
else
  echo "setup: missing packages and neither root nor sudo; please install:$missing" >&2
  exit 1
fi
echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
run() {
  for attempt in 1 2 3; do
    if $as_root apt-get "$@" >"$log" 2>&1; then return 0; fi
    sleep $((attempt * 3))
  done
  cat "$log" >&2
  return 1
}
run update -qq
# shellcheck disable=SC2086
run install -y -qq --no-install-recommends $missing
echo "setup: done"
