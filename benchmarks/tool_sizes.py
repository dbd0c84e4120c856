#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time and peak memory of `lorma` on what is large in one way: a tall matrix, many small ones, many values.

usage: tool_sizes.py LORMA WORK_DIRECTORY OUT.json     (needs numpy and 2 GB of disk)
"""
import json
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

TALL, SMALL, SQUARE = (64000, 2048), (18432, 32), (3072, 4)


def write(path, tensors):
    """`tensors`: name -> (dtype, shape, function that yields arrays)."""
    entries, at = {}, 0
    for name, (dtype, shape, _) in tensors.items():
        size = int(np.prod(shape)) * {"F32": 4, "BF16": 2}[dtype]
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    header = json.dumps(entries).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as out:
        out.write(struct.pack("<Q", len(header)) + header)
        for _, _, parts in tensors.values():
            for part in parts():
                out.write(part.tobytes())


def bfloat16(a):
    bits = a.view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def tall(path, tuned):
    m, n = TALL
    rng = np.random.default_rng(1)
    B, A = (np.random.default_rng(2).standard_normal(s, dtype=np.float32) for s in ((m, 4), (4, n)))

    def parts():
        for i in range(0, m, 4000):
            W = rng.standard_normal((4000, n), dtype=np.float32) * 0.02
            yield bfloat16(W + 0.01 * (B[i:i + 4000] @ A) if tuned else W)
    write(path, {"lm_head.weight": ("BF16", TALL, parts)})


def small(work):
    count, n = SMALL
    rng = np.random.default_rng(3)
    names = [f"layers.{i // 128}.experts.{i % 128}.up_proj.weight" for i in range(count)]

    def random(*shape):
        return "F32", shape, lambda: [rng.standard_normal(shape, dtype=np.float32) * 0.1]
    write(work / "small.safetensors", {name: random(n, n) for name in names})
    layers = {name: {"inflation": "Identity", "side": "Pre", "n": n, "rank": 2, "alpha": 2.0, "layout": "out_in"}
              for name in names}
    pairs = {"lorma": (lambda name: (name + ".lorma_B", name + ".lorma_A"),
                       {"peft_type": "LORMA", "format_version": 1, "layers": layers}),
             "lora": (lambda name: tuple(f"base_model.model.{name[:-7]}.lora_{x}.weight" for x in "BA"),
                      {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["up_proj"]})}
    for kind, (keys, config) in pairs.items():
        (work / kind).mkdir()
        tensors = {}
        for name in names:
            b, a = keys(name)
            tensors[b], tensors[a] = random(n, 2), random(2, n)
        write(work / kind / "adapter_model.safetensors", tensors)
        (work / kind / "adapter_config.json").write_text(json.dumps(config))


def squares(path):
    n, count = SQUARE
    rng = np.random.default_rng(4)
    write(path, {f"w{i}.weight": ("F32", (n, n), lambda: [rng.standard_normal((n, n), dtype=np.float32)])
                 for i in range(count)})


def measured(command):
    """Seconds, and MiB at most: those of this one child."""
    begin = time.monotonic()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise SystemExit(f"tool_sizes: {' '.join(map(str, command))} failed")
    return {"seconds": time.monotonic() - begin, "mib": usage.ru_maxrss / 1024}


def main():
    lorma, work, out = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    work.mkdir(parents=True)
    tall(work / "base.safetensors", False)
    tall(work / "tuned.safetensors", True)
    small(work)
    squares(work / "squares.safetensors")
    m, n = TALL
    sizes = f"{m} x {n}, bfloat16"
    layers = f"{SMALL[0]} layers of {SMALL[1]} x {SMALL[1]}"
    large = f"{SQUARE[1]} of {SQUARE[0]} x {SQUARE[0]}, float32"
    base, tuned, table = work / "base.safetensors", work / "tuned.safetensors", work / "squares.safetensors"
    cases = [("inspect", sizes, ["inspect", base]),
             ("diff", sizes, ["diff", base, tuned]),
             ("extract, rank 16", sizes, ["extract", base, tuned, "-o", work / "extracted"]),
             ("merge of LoRA", layers, ["merge", work / "small.safetensors", work / "lora", "-o", work / "a"]),
             ("merge of LoRMA+", layers, ["merge", work / "small.safetensors", work / "lorma", "-o", work / "b"]),
             ("compose", layers, ["compose", work / "lorma", work / "lorma", "-o", work / "composed"]),
             ("inspect", large, ["inspect", table]),
             ("inspect, all singular values", large, ["inspect", table, "--json", work / "spectra.json"])]
    result = [{"verb": verb, "of": of, **measured([lorma, *command, "--quiet"])} for verb, of, command in cases]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")
    print(out.read_text())
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
