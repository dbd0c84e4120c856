# SPDX-License-Identifier: Apache-2.0
# Thin over the CMake presets. On a fresh Debian or Ubuntu each command installs what it misses.
JOBS ?= $(shell nproc)

.PHONY: build-studies study-full-rank study-rank-of-change study-deficient-weight study-gradient-flow
.PHONY: demo test interop fuzz tool bench bench-cuda bench-merge bench-rank compile-time studies help

help: ## this list
	@grep -E '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed -E 's/: .*## /\t/' | expand -t 16

demo: ## adapt a real layer with LoRA, None, LoRMA+ and LoRMA_pi
	@tools/setup.sh
	cmake --preset release
	cmake --build --preset release --parallel $(JOBS) --target lorma_demo
	build/release/examples/lorma_demo --out out/demo

test: ## configure, build and pass every test
	@tools/setup.sh
	cmake --preset test
	cmake --build --preset test --parallel $(JOBS)
	ctest --preset test --parallel $(JOBS)

interop: tool ## the tool beside safetensors, peft and transformers
	@tools/setup.sh python3-venv python3-pip
	tools/fetch_minilm.sh out/models/all-MiniLM-L6-v2
	tests/interop/run.sh build/release/tools/lorma/lorma out/models/all-MiniLM-L6-v2 out/interop

fuzz: ## two minutes of libFuzzer on the safetensors reader
	@tools/setup.sh clang libclang-rt-dev
	tests/fuzz/run.sh build/fuzz

bench-merge: tool ## `lorma merge` of 8 GB beside a copy, into docs/benchmarks.md (24 GB of disk)
	rm -rf out/merge-large
	benchmarks/merge_large.py build/release/tools/lorma/lorma out/merge-large out/bench/merge_large.json
	benchmarks/report.py out/bench docs

tool: ## build the command-line tool, build/release/tools/lorma/lorma
	@tools/setup.sh
	cmake --preset release
	cmake --build --preset release --parallel $(JOBS) --target lorma_tool

bench: ## the benchmarks, into docs/benchmarks.md
	@tools/setup.sh
	cmake --preset bench
	cmake --build --preset bench --parallel $(JOBS)
	benchmarks/run.sh build/bench/benchmarks out/bench
	benchmarks/report.py out/bench docs

bench-cuda: ## layers on an NVIDIA GPU, into docs/benchmarks.md
	@tools/setup.sh
	cmake --preset bench -DLORMA_WITH_CUDA=ON
	cmake --build --preset bench --parallel $(JOBS) --target bench_cuda_layers
	mkdir -p out/bench
	build/bench/benchmarks/bench_cuda_layers --benchmark_repetitions=5 \
	  --benchmark_report_aggregates_only=true --benchmark_out=out/bench/cuda.json
	-benchmarks/cuda_torch.py out/bench/cuda_torch.json
	benchmarks/report.py out/bench docs

bench-rank: ## ranks and singular values beside NumPy's, into docs/benchmarks.md
	@tools/setup.sh python3-numpy
	cmake --preset bench
	cmake --build --preset bench --parallel $(JOBS) --target bench_rank
	mkdir -p out/bench
	OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 /usr/bin/python3 benchmarks/rank.py \
	  build/bench/benchmarks/libbench_rank.so out/bench
	benchmarks/report.py out/bench docs

compile-time: ## what including lorma costs, into docs/benchmarks.md
	@tools/setup.sh
	benchmarks/compile_time.sh out/bench
	benchmarks/report.py out/bench docs

studies: study-full-rank study-rank-of-change study-deficient-weight study-gradient-flow ## the four studies of docs/, each also by itself

study-full-rank: tool
	@mkdir -p out/studies
	tools/fetch_minilm.sh out/models/all-MiniLM-L6-v2
	build/release/tools/lorma/lorma inspect out/models/all-MiniLM-L6-v2/model.safetensors \
	  --json out/studies/full-rank.json --html out/studies/full-rank.html
	examples/studies/pages.py full-rank out/studies/full-rank.json docs

measure_study = OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 build/release/examples/studies/lorma_studies
write_study = examples/studies/pages.py

build-studies:
	@tools/setup.sh
	@mkdir -p out/studies
	cmake --preset release -DLORMA_BUILD_STUDIES=ON
	cmake --build --preset release --parallel $(JOBS) --target lorma_studies

study-rank-of-change study-gradient-flow: study-%: build-studies
	$(measure_study) $* out/studies/$*.json
	$(write_study) $* out/studies/$*.json docs

study-deficient-weight: build-studies
	$(measure_study) deficient-weight out/studies/far.json
	$(measure_study) deficient-weight out/studies/near.json --job quantized
	$(write_study) deficient-weight out/studies/far.json docs
	$(write_study) deficient-weight out/studies/near.json docs
