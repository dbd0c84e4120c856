#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# measure.sh BUILD_DIR OUT_DIR [FILTER]: every benchmark on one thread, the layers again on two; medians of
# three repetitions in random order, JSON into OUT_DIR. Half an hour on a quiet machine.
set -euo pipefail
build=$1
out=$2
filter=${3:-.}
mkdir -p "$out"

run() {  # threads, result, program, filter, least seconds a repetition
  echo "== $2 (threads: $1)"
  # Passive: two pools of threads, OpenMP's and the BLAS's, must not spin against each other.
  OMP_WAIT_POLICY=passive OMP_NUM_THREADS=$1 OPENBLAS_NUM_THREADS=$1 "$build/$3" --benchmark_filter="$4" \
    --benchmark_repetitions=3 --benchmark_enable_random_interleaving=true \
    --benchmark_report_aggregates_only=true --benchmark_min_time="${5:-0.05}" \
    --benchmark_out="$out/$2.json" --benchmark_out_format=json >"$out/$2.log" 2>&1
}

run 1 transforms bench_transforms "$filter"
run 1 layers bench_layers "$filter"
run 1 auto_choice bench_auto_choice "$filter" 0.01
if [ "$(nproc)" -ge 2 ]; then
  run 2 layers_2_threads bench_layers '^(frozen|LoRMA[+]|LoRMA_pi)/(forward|training)/d:(768|1024|2048|4096)/k:(768|1024|2048|4096)/b:256/r:8'
fi
