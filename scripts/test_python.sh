#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# test_python.sh [PYTEST_ARGUMENT...]: the tests of the package lorma, with the operator and without it, and of the
# experiments' programs. Two run at once, on a thread each: most tests are too small to share out.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
python=$(scripts/python_environment.sh)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export OMP_NUM_THREADS=1

with_operator() {
  cd "$root/python/tests"
  "$python" -m pytest -q "$@"
}

# As an install without a compiler is: the package's sources alone.
without_operator() {
  cp -r "$root/python/lorma" "$work/lorma"
  rm -f "$work"/lorma/_ops*
  cd "$root/python/tests"
  PYTHONPATH=$work "$python" -W ignore::RuntimeWarning -m pytest -q -p no:cacheprovider test_ops.py test_fallback.py \
    test_invertible.py "$@"
  cd "$root/experiments/tests"
  "$(../environment.sh packages)" -m pytest -q "$@"
}

(without_operator "$@") >"$work/log" 2>&1 &
other=$!
status=0
(with_operator "$@") || status=$?
wait $other || status=$?
cat "$work/log"
exit $status
