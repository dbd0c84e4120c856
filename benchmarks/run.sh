#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# run.sh PART: builds one part of the benchmarks, measures it, and writes it into docs/benchmarks.md:
#   layers        layers, transforms and the choices of Auto (measure.sh); half an hour
#   cuda          layers on an NVIDIA GPU
#   merge         `lorma merge` of 8 GB beside a copy; 24 GB of disk
#   sizes         `lorma` on a tall matrix, many small ones, many values; 2 GB of disk
#   rank          ranks and singular values beside NumPy's
#   torch         LoRMA in PyTorch beside PEFT's methods
#   compile-time  what including lorma costs
# but for
#   drift         1000 cycles of merge and unmerge: prints the table of docs/accuracy.md
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p out/bench
programs=build/bench/benchmarks

case ${1:-} in
  layers)
    scripts/build.sh bench
    benchmarks/measure.sh $programs out/bench
    ;;
  cuda)
    scripts/build.sh bench -DLORMA_WITH_CUDA=ON bench_cuda_layers
    $programs/bench_cuda_layers --benchmark_repetitions=5 --benchmark_report_aggregates_only=true \
      --benchmark_out=out/bench/cuda.json
    benchmarks/cuda_torch.py out/bench/cuda_torch.json || echo "run: without PyTorch as a peer"
    ;;
  merge)
    scripts/build.sh release lorma_tool
    rm -rf out/merge-large
    benchmarks/merge_large.py build/release/tools/lorma/lorma out/merge-large \
      out/bench/merge_large.json
    ;;
  sizes)
    scripts/setup.sh python3-numpy
    scripts/build.sh release lorma_tool
    rm -rf out/tool-sizes
    /usr/bin/python3 benchmarks/tool_sizes.py build/release/tools/lorma/lorma out/tool-sizes \
      out/bench/tool_sizes.json
    ;;
  rank)
    scripts/setup.sh python3-numpy
    scripts/build.sh bench bench_rank
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 /usr/bin/python3 benchmarks/rank.py \
      $programs/libbench_rank.so out/bench
    ;;
  torch)
    python=$(scripts/python_environment.sh)
    model=out/models/all-MiniLM-L6-v2
    scripts/fetch_minilm.sh $model
    scripts/fetch_snippets.sh out/data
    head -3200 out/data/movies.tsv | cut -f3 >$model/sentences.txt
    "$python" benchmarks/torch_layers.py out/bench/torch_layers.json --model $model
    ;;
  compile-time)
    benchmarks/compile_time.sh out/bench
    ;;
  drift)
    scripts/build.sh bench bench_drift
    exec $programs/bench_drift
    ;;
  *)
    sed -n '3,12s/^# //p' "$0" >&2
    exit 2
    ;;
esac
benchmarks/machine.sh >"out/bench/machine_$1.json"
benchmarks/report.py out/bench docs
