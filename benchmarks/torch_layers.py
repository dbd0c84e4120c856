#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torch_layers.py OUT.json [--model DIR] [--rounds N] [--widths N,...] [--peers NAME,...]: LoRMA in PyTorch
beside PEFT's methods.

Layers: forward + backward of a frozen n x n layer, 256 tokens, rank 8, on one and two threads. With
--model (a checkpoint of all-MiniLM-L6-v2 and its tokenizer, sentences.txt beside them): a training
step, query and value, batch 32, and its peak memory. All peers of a line run in turn, round after
round, in one process; medians are written, and medians of the ratios within a round."""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import peft  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from lorma.peft import LormaConfig  # noqa: E402
from torch import nn  # noqa: E402

TOKENS, RANK = 256, 8
WIDTHS = [384, 768, 1024, 2048, 4096]
REFERENCE = "LoRA"


class Published(nn.Module):
    """The authors' layers: the weight is multiplied, then the tokens."""

    def __init__(self, linear, turned):
        super().__init__()
        n = linear.out_features
        self.weight, self.bias = linear.weight, linear.bias
        self.B, self.A = nn.Parameter(torch.randn(n, RANK) / n), nn.Parameter(torch.randn(RANK, n))
        i = torch.arange(n)
        self.from_ = torch.remainder(i[None, :] - i[:, None], n) if turned else None
        self.identity = None if turned else torch.eye(n)

    def forward(self, x):
        M = self.B @ self.A
        P = M + self.identity if self.from_ is None else M.gather(1, self.from_)
        return F.linear(x, P @ self.weight, self.bias)


def configs(targets):
    """PEFT's methods, as far as this version has them."""
    both = {"target_modules": targets}
    wanted = {
        "LoRA": ("LoraConfig", {"r": RANK, "lora_alpha": RANK}),
        "LoRMA+": (LormaConfig, {"r": RANK, "lora_alpha": RANK}),
        "LoRMA_pi": (LormaConfig, {"r": RANK, "lora_alpha": RANK, "inflation": "cyclic"}),
        "DoRA": ("LoraConfig", {"r": RANK, "lora_alpha": RANK, "use_dora": True}),
        "C3A": ("C3AConfig", {"block_size": 128}),
        "OFT": ("OFTConfig", {"oft_block_size": 32}),
        "BOFT": ("BOFTConfig", {"boft_block_size": 8}),
        "HRA": ("HRAConfig", {"r": RANK}),
        "HiRA": ("HiraConfig", {"r": RANK}),
        "RoAd": ("RoadConfig", {"variant": "road_1"}),
        "(IA)^3": ("IA3Config", {"feedforward_modules": []}),
    }
    for name, (kind, settings) in wanted.items():
        kind = getattr(peft, kind, None) if isinstance(kind, str) else kind
        if kind is not None:
            yield name, kind(**both, **settings)


class OneLayer(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.layer = nn.Linear(n, n)

    def forward(self, x):
        return self.layer(x)


def layer_peers(n):
    peers = {"frozen": OneLayer(n).requires_grad_(False)}
    for name, turned in (("published LoRMA+", False), ("published LoRMA_pi", True)):
        model = OneLayer(n).requires_grad_(False)
        model.layer = Published(model.layer, turned)
        peers[name] = model
    for name, config in configs(["layer"]):
        try:
            peers[name] = peft.get_peft_model(OneLayer(n), config)
        except Exception as error:  # a method that does not take these sizes
            print(f"{name} at {n}: left out: {error}", file=sys.stderr)
    return peers


def medians(steps, rounds):
    """{name: {"ms", "ratio"}} of functions that run in turn; ratios to REFERENCE.

    What takes 8 times as long as REFERENCE runs in every fifth round only."""
    def seconds(step):
        start = time.perf_counter()
        step()
        return time.perf_counter() - start

    for step in steps.values():
        step()
    first = {name: seconds(step) for name, step in steps.items()}
    times = {name: [] for name in steps}
    for i in range(rounds):
        for name, step in steps.items():
            if i % 5 == 0 or first[name] < 8 * first[REFERENCE]:
                times[name].append(seconds(step))
    return {name: {"ms": statistics.median(t) * 1e3,
                   "ratio": statistics.median(
                       a / b for a, b in zip(t, times[REFERENCE][::1 if len(t) == rounds else 5]))}
            for name, t in times.items()}


def layers(n, rounds, wanted):
    x = torch.randn(TOKENS, n, requires_grad=True)
    g = torch.randn(TOKENS, n)

    def step_of(model):
        def step():
            for p in model.parameters():
                p.grad = None
            x.grad = None
            model(x).backward(g)
        return step

    steps = {}
    for name, model in layer_peers(n).items():
        if wanted and name not in wanted:
            continue
        try:
            step_of(model)()
            steps[name] = step_of(model)
        except Exception as error:
            print(f"{name} at {n}: left out: {error}", file=sys.stderr)
    return medians(steps, rounds)


def sentences(directory):
    import transformers
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    lines = (Path(directory) / "sentences.txt").read_text().splitlines()
    for start in range(0, len(lines) - 31, 32):
        yield tokenizer(lines[start:start + 32], padding=True, truncation=True, max_length=64, return_tensors="pt")


def minilm(directory, config):
    import transformers
    model = transformers.AutoModel.from_pretrained(directory)
    model = model.requires_grad_(False) if config is None else peft.get_peft_model(model, config)
    return model.train()


def step_of_minilm(directory, config):
    torch.manual_seed(0)
    model = minilm(directory, config)
    batches = list(sentences(directory))
    adam = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)
    count = 0

    def step():
        nonlocal count
        batch = batches[count % len(batches)]
        count += 1
        adam.zero_grad()
        model(**batch).last_hidden_state.square().mean().backward()
        adam.step()
    return step


def peak(directory, name):
    """Peak bytes of four steps above the model, in this process."""
    config = dict(configs(["query", "value"]))[name]
    step = step_of_minilm(directory, config)
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    for _ in range(4):
        step()
    # Not getrusage's, which begins with the peak of the process that started this one.
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1]
    print(int(status.split()[0]) * 1024 - before, before)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--widths", type=lambda s: [int(x) for x in s.split(",")], default=WIDTHS)
    parser.add_argument("--peers", type=lambda s: s.split(","), default=[], help="all, where none is named")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        torch.set_num_threads(1)
        return peak(options.model, options.peak)
    result = {"torch": torch.__version__, "peft": peft.__version__, "rounds": options.rounds, "layers": {}, "steps": {},
              "peak_bytes": {}}

    def save():
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=1) + "\n")

    for threads in (1, 2):
        torch.set_num_threads(threads)
        for n in options.widths:
            result["layers"][f"{threads}/{n}"] = line = layers(n, options.rounds, options.peers)
            print(f"{threads} threads, n {n}: " + ", ".join(f"{k} {v['ms']:.2f} ms ({v['ratio']:.2f})"
                                                           for k, v in line.items()), flush=True)
            save()
        if options.model:
            steps = {name: step_of_minilm(options.model, config) for name, config in configs(["query", "value"])
                     if not options.peers or name in options.peers}
            result["steps"][str(threads)] = line = medians(steps, options.rounds)
            print(f"{threads} threads, MiniLM: " + ", ".join(f"{k} {v['ms']:.0f} ms ({v['ratio']:.2f})"
                                                            for k, v in line.items()), flush=True)
            save()
    if options.model:
        for name in ("LoRA", "LoRMA+", "LoRMA_pi"):
            # Large blocks go back to the system, so that the peak is what was held.
            out = subprocess.run([sys.executable, __file__, str(options.out), "--model", options.model, "--peak", name],
                                 check=True, capture_output=True, text=True,
                                 env={**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}).stdout.split()
            result["peak_bytes"][name] = {"above_model": int(out[-2]), "model": int(out[-1])}
            print(f"peak of {name}: {int(out[-2]) / 2**20:.1f} MiB above {int(out[-1]) / 2**20:.1f}", flush=True)
            save()


if __name__ == "__main__":
    main()
