#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh LORMA MODEL_DIRECTORY VENV: interop.py in a Python environment of its own, made once.
set -eu
lorma=$1
model=$2
venv=$3
pins="torch==2.15.0 numpy==2.4.6 safetensors==0.8.0 transformers==4.44.2 peft==0.11.1"
if [ "$(cat "$venv/pins" 2>/dev/null)" != "$pins" ]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  # shellcheck disable=SC2086
  "$venv/bin/pip" install --quiet --no-input --disable-pip-version-check $pins
  echo "$pins" > "$venv/pins"
fi
TOKENIZERS_PARALLELISM=false "$venv/bin/python" -W ignore "$(dirname "$0")/interop.py" "$lorma" "$model"
