#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""cost.py [--results DIR] [--rounds N]: experiment 6, into results/cost/cost.json; on a machine that does nothing else.

Seconds, and the bytes that operators read and write, of forward and backward of one frozen n x n layer and of
training steps of the model: LoRA, LoRMA in the orders that associativity allows, the authors' layers. Bytes are
counted, each operator's inputs and outputs once, whatever its caches do; where the machine has a counter of cache
misses, `perf stat` tells what of them left the caches."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.simplefilter("ignore")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from lorma import ops  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402
from torch_layers import Published, medians  # noqa: E402

import methods  # noqa: E402
import training  # noqa: E402
from settings import Settings, replace  # noqa: E402

RANK = 8
WIDTHS, TOKENS = (384, 1024, 2048), (32, 256, 2048)


class Traffic(TorchDispatchMode):
    """Bytes of the tensors that operators take and give; views take and give nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        returns = function._schema.returns
        if not (returns and returns[0].alias_info is not None and not returns[0].alias_info.is_write):
            for tensor in self._tensors((args, kwargs, result)):
                self.bytes += min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
        return result

    def _tensors(self, value):
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            for part in value:
                yield from self._tensors(part)
        elif isinstance(value, dict):
            yield from self._tensors(list(value.values()))


def traffic(step) -> int:
    with Traffic() as counted:
        step()
    return counted.bytes


def layer_steps(n: int, tokens: int) -> dict:
    """Forward and backward of one layer, by name."""
    torch.manual_seed(0)
    W0, x, g = torch.randn(n, n) / n ** 0.5, torch.randn(tokens, n, requires_grad=True), torch.randn(tokens, n)
    B, A = (torch.randn(n, RANK) / n).requires_grad_(), torch.randn(RANK, n).requires_grad_()
    frozen = nn.Linear(n, n, bias=False).requires_grad_(False)
    published = {turned: Published(frozen, turned) for turned in (False, True)}
    forwards = {
        "frozen layer": lambda: F.linear(x, W0),
        "LoRA": lambda: F.linear(x, W0) + F.linear(F.linear(x, A), B),
        "LoRMA+: P (W0 x)": lambda: ops.multiply(F.linear(x, W0), B, A, 1.0),
        "LoRMA+: W0 x + B ((A W0) x)": lambda: torch.addmm(F.linear(x, W0), x @ (A @ W0).T, B.T),
        "LoRMA+: (P W0) x, P by its factors": lambda: F.linear(x, torch.addmm(W0, B, A @ W0)),
        "LoRMA+, published: (P W0) x, P dense": lambda: published[False](x),
        "LoRMA_pi: P (W0 x), by transforms": lambda: ops.multiply(F.linear(x, W0), B, A, 1.0, "cyclic"),
        "LoRMA_pi, published: (P W0) x, P dense": lambda: published[True](x),
    }

    def step_of(forward):
        def step():
            for p in (x, B, A, *published[False].parameters(), *published[True].parameters()):
                p.grad = None
            forward().backward(g)
        return step

    return {name: step_of(forward) for name, forward in forwards.items()}


def model_step(name: str):
    """A training step of the model, movie snippets, batch 32."""
    turned = {"published LoRMA+": False, "published LoRMA_pi": True}.get(name)
    settings = Settings(method={"LoRA": "lora", "LoRMA+": "plus", "LoRMA_pi": "pi"}.get(name, "head"))
    data = training.data_of(settings)
    model = methods.base(settings, data.task)
    if turned is None:
        methods.adapt(model, settings)
    else:
        for path, module in methods.targets(model.encoder, settings).items():
            parent, _, leaf = path.rpartition(".")
            setattr(model.encoder.get_submodule(parent), leaf, Published(module, turned))
    batches = [data.batch("train", indices) for indices in training.order(data, replace(settings, steps=8))]
    adam = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-4)
    count = 0

    def step():
        nonlocal count
        tokens, labels = batches[count % len(batches)]
        count += 1
        adam.zero_grad()
        training.loss_of(model(tokens), labels).backward()
        adam.step()
    return step


MODELS = ("LoRA", "LoRMA+", "LoRMA_pi", "published LoRMA+", "published LoRMA_pi")


def peak_of(name: str) -> None:
    """Prints MiB above the model after eight steps, in this process."""
    step = model_step(name)
    training.peak_memory(restart=True)
    before = training.peak_memory()
    for _ in range(8):
        step()
    print(training.peak_memory() - before)


def cache_misses(name: str) -> float | None:
    """Of eight steps and the start, where perf has such a counter."""
    command = ["perf", "stat", "-x,", "-e", "cache-misses", sys.executable, __file__, "--peak", name]
    try:
        text = subprocess.run(command, capture_output=True, text=True).stderr
    except FileNotFoundError:
        return None
    line = next((line for line in text.splitlines() if "cache-misses" in line), "")
    return float(line.split(",")[0]) if line[:1].isdigit() else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.peak:
        return peak_of(options.peak)
    found: dict = {"torch": torch.__version__, "threads": 1, "rounds": options.rounds, "layers": [], "steps": []}
    for n in WIDTHS:
        for tokens in TOKENS:
            steps = layer_steps(n, tokens)
            times = medians(steps, options.rounds)
            for name, step in steps.items():
                found["layers"].append({"n": n, "tokens": tokens, "name": name, **times[name], "bytes": traffic(step)})
            print(f"n {n}, {tokens} tokens", flush=True)
    steps = {name: model_step(name) for name in MODELS}
    times = medians(steps, options.rounds)
    for name, step in steps.items():
        out = subprocess.run([sys.executable, __file__, "--peak", name], check=True, capture_output=True, text=True,
                             env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}).stdout
        found["steps"].append({"name": name, **times[name], "bytes": traffic(step), "peak_mib": float(out.split()[-1]),
                               "cache_misses": cache_misses(name)})
        print(name, flush=True)
    folder = options.results / "cost"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cost.json").write_text(json.dumps(training.rounded(found), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
