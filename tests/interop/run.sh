#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh: interop.py with the tool of build/release, beside the newest and the oldest clients that are tested
# (python_environment.sh); beside the oldest, the tests of the PEFT method too, which `make python` runs beside the newest.
set -eu
cd "$(dirname "$0")/../.."
model=out/models/all-MiniLM-L6-v2
newest=$(scripts/python_environment.sh)
oldest=$(scripts/python_environment.sh --oldest)
scripts/fetch_minilm.sh $model
for python in "$newest" "$oldest"; do
  TOKENIZERS_PARALLELISM=false "$python" -W ignore tests/interop/interop.py build/release/tools/lorma/lorma $model
done
cd python/tests
"$oldest" -m pytest -q test_peft.py
