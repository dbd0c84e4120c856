#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh STUDY...: measures the named studies and writes their pages, docs/study-STUDY.md.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p out/studies

measure() {  # study, result, further options
  study=$1
  result=out/studies/$2.json
  shift 2
  OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 build/release/examples/studies/lorma_studies \
    "$study" "$result" "$@"
  examples/studies/pages.py "$study" "$result" docs
}

for study in "$@"; do
  case $study in
    full-rank)
      scripts/build.sh release lorma_tool
      scripts/fetch_minilm.sh out/models/all-MiniLM-L6-v2
      build/release/tools/lorma/lorma inspect out/models/all-MiniLM-L6-v2/model.safetensors \
        --json out/studies/full-rank.json --html out/studies/full-rank.html
      examples/studies/pages.py full-rank out/studies/full-rank.json docs
      ;;
    *)
      scripts/build.sh release -DLORMA_BUILD_STUDIES=ON lorma_studies
      if [ "$study" = deficient-weight ]; then
        measure "$study" far
        measure "$study" near --job quantized
      else
        measure "$study" "$study"
      fi
      ;;
  esac
done
