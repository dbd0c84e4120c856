#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# test_python.sh [PYTEST_ARGUMENT...]: the tests of the package lorma, with the operator and without it, and of the
# experiments' programs.
set -eu
cd "$(dirname "$0")/.."
python=$(scripts/python_environment.sh)
cd python/tests
"$python" -m pytest -q "$@"
# As an install without a compiler is: the package's sources alone.
without=$(mktemp -d)
trap 'rm -rf "$without"' EXIT
cp -r ../lorma "$without/lorma"
rm -f "$without"/lorma/_ops*
PYTHONPATH=$without "$python" -W ignore::RuntimeWarning -m pytest -q test_ops.py test_fallback.py \
  test_invertible.py "$@"
cd ../../experiments/tests
"$(../environment.sh packages)" -m pytest -q "$@"
