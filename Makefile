# SPDX-License-Identifier: Apache-2.0
# Thin over the CMake presets. On a fresh Debian or Ubuntu each command installs what it misses.
JOBS ?= $(shell nproc)

.PHONY: demo test tool bench compile-time help

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

compile-time: ## what including lorma costs, into docs/benchmarks.md
	@tools/setup.sh
	benchmarks/compile_time.sh out/bench
	benchmarks/report.py out/bench docs
