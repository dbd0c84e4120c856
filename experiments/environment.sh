#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# environment.sh [packages]: the project's Python environment with what the experiments need besides, and, unless only
# the packages are asked for, their model and data. Prints its python.
set -eu
cd "$(dirname "$0")/.."
python=$(scripts/python_environment.sh)
"$python" -c 'import scipy' 2>/dev/null ||
  "$python" -m pip install --quiet --no-input --disable-pip-version-check scipy==1.17.1 >&2
if [ "${1:-}" != packages ]; then
  scripts/setup.sh wordnet-base >&2
  scripts/fetch_minilm.sh out/models/all-MiniLM-L6-v2 >&2
  scripts/fetch_snippets.sh out/data >&2
fi
echo "$python"
