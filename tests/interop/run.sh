#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh: interop.py with the tool of build/release, in a Python environment of its own, made once.
set -eu
cd "$(dirname "$0")/../.."
venv=out/interop
model=out/models/all-MiniLM-L6-v2
scripts/setup.sh python3-venv python3-pip
scripts/fetch_minilm.sh $model
pins="torch==2.15.0 numpy==2.4.6 safetensors==0.8.0 transformers==4.44.2 peft==0.11.1"
if [ "$(cat "$venv/pins" 2>/dev/null)" != "$pins" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  # shellcheck disable=SC2086
  "$venv/bin/pip" install --quiet --no-input --disable-pip-version-check $pins
  echo "$pins" > "$venv/pins"
fi
TOKENIZERS_PARALLELISM=false "$venv/bin/python" -W ignore tests/interop/interop.py \
  build/release/tools/lorma/lorma $model
