#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh: interop.py with the tool of build/release, beside the newest and the oldest clients that are tested
# (python_environment.sh); beside the oldest, the tests of the PEFT method too, which `make python` runs beside the newest.
set -eu
cd "$(dirname "$0")/../.."
model=out/models/all-MiniLM-L6-v2
scripts/fetch_minilm.sh $model
for oldest in "" --oldest; do
  # shellcheck disable=SC2086
  python=$(scripts/python_environment.sh $oldest)
  TOKENIZERS_PARALLELISM=false "$python" -W ignore tests/interop/interop.py build/release/tools/lorma/lorma $model
done
cd python/tests
"$python" -m pytest -q test_peft.py
