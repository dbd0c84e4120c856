#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# run.sh BUILD_DIR OUT_DIR: one thread, medians of three repetitions, JSON into OUT_DIR.
set -eu
mkdir -p "$2"
OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 "$1/bench_layers" --benchmark_repetitions=3 \
  --benchmark_report_aggregates_only=true --benchmark_min_time=0.3 \
  --benchmark_out="$2/layers.json" --benchmark_out_format=json
