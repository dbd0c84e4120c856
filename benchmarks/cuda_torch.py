#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""PyTorch on a GPU, the peer of bench_cuda_layers: the frozen layer, LoRA, the LoRMA layers as the
paper's code computes them (the merged weight is formed in every step), and PEFT's LoRA where it is
installed (0.11 or newer). Medians of CUDA-event times as JSON; what fails is listed under "failed",
and what was measured before is written all the same.

usage: cuda_torch.py OUT.json
"""
import importlib
import json
import statistics
import sys

import torch

RANK = 8
LAYERS = {
    "LLaMA-3-8B.q": (4096, 4096), "LLaMA-3-8B.k": (1024, 4096), "LLaMA-3-8B.up": (14336, 4096),
    "LLaMA-3-8B.down": (4096, 14336), "Gemma-2B.q": (2048, 2048), "Gemma-2B.up": (16384, 2048),
    "RoBERTa-large.q": (1024, 1024), "RoBERTa-large.up": (4096, 1024),
}
TOKENS = (1, 256, 4096, 16384)


# Each maker gives the layer as a function of x, and the leaves whose gradients it makes.

def frozen(weight, _a, _b):
    return (lambda x: x @ weight.T), []


def lora(weight, _a, _b):
    d, k = weight.shape
    a = torch.randn(RANK, k, device="cuda", dtype=weight.dtype, requires_grad=True)
    b = torch.randn(d, RANK, device="cuda", dtype=weight.dtype, requires_grad=True)
    return (lambda x: x @ weight.T + (x @ a.T) @ b.T), [a, b]


def lorma_plus(weight, a, b):
    eye = torch.eye(weight.shape[0], device="cuda", dtype=weight.dtype)
    return (lambda x: x @ ((eye + b @ a) @ weight).T), [a, b]


def lorma_pi(weight, a, b):
    n = weight.shape[0]
    i = torch.arange(n, device="cuda")
    index = (i[None, :] - i[:, None]) % n
    return (lambda x: x @ (torch.gather(b @ a, 1, index) @ weight).T), [a, b]


def peft_lora(weight, _a, _b):
    """Through get_peft_model, which every version has; the layer's own constructor changes."""
    from peft import LoraConfig, get_peft_model
    try:  # PEFT 0.21 uses it without importing it
        importlib.import_module("torch.distributed.tensor")
    except ImportError:
        pass
    base = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    base.weight = torch.nn.Parameter(weight, requires_grad=False)
    model = torch.nn.Sequential()
    model.add_module("layer", base)
    config = LoraConfig(r=RANK, lora_alpha=RANK, lora_dropout=0.0, bias="none",
                        target_modules=["layer"])
    # Newer versions keep factors of bfloat16 layers in float32 unless they are cast.
    layer = get_peft_model(model, config).base_model.model.layer.to("cuda", weight.dtype)
    return layer, [p for p in layer.parameters() if p.requires_grad]


def median_microseconds(step):
    for _ in range(3):
        step()
    times = []
    for _ in range(20):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        step()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end) * 1e3)
    return statistics.median(times)


def measure(module, leaves, x, g, training):
    if not training:
        def step():
            with torch.no_grad():
                module(x)
    else:
        def step():
            for leaf in (x, *leaves):
                leaf.grad = None  # a step that adds to old gradients does more
            module(x).backward(g)
    return median_microseconds(step)


def all_cases(makers, result):
    for type_name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        for layer, (d, k) in LAYERS.items():
            weight = torch.randn(d, k, device="cuda", dtype=dtype) / k ** 0.5
            for tokens in TOKENS:
                x = torch.randn(tokens, k, device="cuda", dtype=dtype, requires_grad=True)
                g = torch.randn(tokens, d, device="cuda", dtype=dtype)
                a = torch.randn(RANK, d, device="cuda", dtype=dtype, requires_grad=True)
                b = torch.randn(d, RANK, device="cuda", dtype=dtype, requires_grad=True)
                for name, make in makers.items():
                    if name == "LoRMA_pi" and d > 4096:
                        continue
                    for task in ("forward", "training"):
                        key = f"{name}/{type_name}/{layer}/{tokens}/{task}"
                        try:
                            module, leaves = make(weight, a, b)
                            result["microseconds"][key] = measure(module, leaves, x, g,
                                                                  task == "training")
                        except Exception as error:  # one case must not cost the others
                            result["failed"][key] = f"{type(error).__name__}: {error}"
                            torch.cuda.empty_cache()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    if not torch.cuda.is_available():
        sys.exit("cuda_torch.py: no GPU")
    torch.backends.cuda.matmul.allow_tf32 = False
    makers = {"frozen": frozen, "LoRA": lora, "LoRMA+": lorma_plus, "LoRMA_pi": lorma_pi}
    try:
        import peft
        makers["PEFT_LoRA"] = peft_lora
    except ImportError:
        peft = None
    result = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__,
              "peft": peft.__version__ if peft else None, "microseconds": {}, "failed": {}}
    try:
        all_cases(makers, result)
    finally:
        with open(sys.argv[1], "w", encoding="utf-8") as out:
            json.dump(result, out, indent=1)
    for key, error in result["failed"].items():
        print(f"failed: {key}: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
