#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# environment.sh: the project's Python environment with what the experiments need besides, and their data. Prints its python.
set -eu
cd "$(dirname "$0")/.."
python=$(scripts/python_environment.sh)
"$python" -c 'import scipy' 2>/dev/null || "$python" -m pip install --quiet --no-input --disable-pip-version-check scipy==1.17.1 >&2
scripts/setup.sh wordnet-base >&2
scripts/fetch_minilm.sh out/models/all-MiniLM-L6-v2 >&2
scripts/fetch_snippets.sh out/data >&2
echo "$python"
