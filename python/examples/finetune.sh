#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# finetune.sh [--steps N]: finetune.py with the tool of build/release, on data that is fetched once.
set -eu
cd "$(dirname "$0")/../.."
python=$(scripts/python_environment.sh)
scripts/fetch_minilm.sh out/models/all-MiniLM-L6-v2
scripts/fetch_snippets.sh out/data
mkdir -p out/finetune
"$python" python/examples/finetune.py out/models/all-MiniLM-L6-v2 out/data/movies.tsv build/release/tools/lorma/lorma \
  out/finetune "$@"
