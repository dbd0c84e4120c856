#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh: interop.py with the tool of build/release, in the Python environment of all our Python.
set -eu
cd "$(dirname "$0")/../.."
model=out/models/all-MiniLM-L6-v2
python=$(scripts/python_environment.sh)
scripts/fetch_minilm.sh $model
TOKENIZERS_PARALLELISM=false "$python" -W ignore tests/interop/interop.py build/release/tools/lorma/lorma $model
