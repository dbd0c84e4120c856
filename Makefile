# SPDX-License-Identifier: Apache-2.0
# A table of contents. On a fresh Debian or Ubuntu each command installs what it misses.
.PHONY: demo test attack build-cost interop python finetune experiments fuzz tool bench bench-cuda bench-merge bench-sizes bench-rank bench-torch compile-time studies setup setup-tests help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup:
	@scripts/setup.sh

setup-tests:
	@scripts/setup.sh clang lld libomp-dev

demo: setup ## adapt a real layer with LoRA, None, LoRMA+ and LoRMA_pi
	scripts/build.sh release lorma_demo
	scripts/with_fast_blas.sh build/release/examples/lorma_demo --out out/demo

test: setup-tests ## configure, build and pass every test
	scripts/test.sh test

attack: setup ## hours of random search for results outside of their bounds
	scripts/attack.sh

build-cost: setup-tests ## CPU seconds of `make test` over those of <Eigen/Dense>; what later changes are held to
	scripts/build_cost.py

tool: setup ## build the command-line tool, build/release/tools/lorma/lorma
	scripts/build.sh release lorma_tool

interop: tool ## the tool and the PEFT method beside the newest and the oldest safetensors, peft and transformers
	tests/interop/run.sh

python: setup ## the package for PyTorch and PEFT: built, its tests passed
	scripts/test_python.sh

finetune: tool ## a sentence encoder learns from movie reviews by LoRA, LoRMA+ and LoRMA_pi; merged by the tool
	python/examples/finetune.sh

experiments: setup ## the paper's experiments on real text, into docs/experiments; hours, goes on where it stopped
	experiments/run.sh all

fuzz: setup ## two minutes of libFuzzer on files, configurations and indices
	tests/fuzz/run.sh build/fuzz

bench: setup ## the benchmarks, into docs/benchmarks.md
	benchmarks/run.sh layers

bench-cuda: setup ## layers on an NVIDIA GPU, into docs/benchmarks.md
	benchmarks/run.sh cuda

bench-merge: setup ## `lorma merge` of 8 GB beside a copy, into docs/benchmarks.md (24 GB of disk)
	benchmarks/run.sh merge

bench-sizes: setup ## `lorma` on what is large in one way, into docs/benchmarks.md (2 GB of disk)
	benchmarks/run.sh sizes

bench-rank: setup ## ranks and singular values beside NumPy's, into docs/benchmarks.md
	benchmarks/run.sh rank

bench-torch: setup ## LoRMA in PyTorch beside PEFT's methods, into docs/benchmarks.md
	benchmarks/run.sh torch

compile-time: setup ## what including lorma costs, into docs/benchmarks.md
	benchmarks/run.sh compile-time

studies: study-full-rank study-rank-of-change study-deficient-weight study-gradient-flow ## the four studies of docs/, each also by itself

study-%: setup
	examples/studies/run.sh $*
