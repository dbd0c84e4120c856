#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""`lorma merge` on a generated sharded checkpoint of bfloat16, beside a plain copy of its files.

usage: merge_large.py LORMA WORK_DIRECTORY OUT.json [GIGABYTES]     (needs three times the size on disk)
"""
import array
import json
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

N, RANK, PER_SHARD = 4096, 8, 64  # weights of N x N: 32 MiB each, 2 GiB a shard


def header(entries):
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def write_model(directory, shards):
    directory.mkdir()
    rng = random.Random(1)
    # bfloat16 numbers of magnitude 2^-6 to 2^-5, either sign.
    row = array.array("H", (0x3C80 | rng.getrandbits(7) | rng.getrandbits(1) << 15
                            for _ in range(N * 16))).tobytes()
    names = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        size = N * N * 2
        entries = {}
        for i in range(PER_SHARD):
            name = f"layers.{shard * PER_SHARD + i:04}.weight"
            entries[name] = {"dtype": "BF16", "shape": [N, N],
                             "data_offsets": [i * size, (i + 1) * size]}
            names[name] = file
        with open(directory / file, "wb") as out:
            out.write(header(entries))
            for _ in range(PER_SHARD * size // len(row)):
                out.write(row)
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": names}))
    return list(names)


def write_adapter(directory, names):
    directory.mkdir()
    rng = random.Random(2)
    entries, layers, data, at = {}, {}, [], 0
    factor = array.array("f", (rng.uniform(-0.01, 0.01) for _ in range(N * RANK))).tobytes()
    for name in names:
        layers[name] = {"inflation": "Identity", "side": "Pre", "n": N, "rank": RANK,
                        "alpha": RANK, "layout": "out_in"}
        for key, shape in ((".lorma_A", [RANK, N]), (".lorma_B", [N, RANK])):
            entries[name + key] = {"dtype": "F32", "shape": shape,
                                   "data_offsets": [at, at + len(factor)]}
            data.append(factor)
            at += len(factor)
    (directory / "adapter_model.safetensors").write_bytes(header(entries) + b"".join(data))
    (directory / "adapter_config.json").write_text(json.dumps(
        {"peft_type": "LORMA", "format_version": 1, "layers": layers}))


def timed(run):
    begin = time.monotonic()
    run()
    os.sync()
    return time.monotonic() - begin


def main():
    lorma, work, out = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
    shards = int(sys.argv[4]) // 2 if len(sys.argv) > 4 else 4
    work.mkdir(parents=True)
    names = write_model(work / "model", shards)
    half = names[::2]
    write_adapter(work / "adapter", half)
    os.sync()
    total = sum(f.stat().st_size for f in (work / "model").iterdir()) / 1e6
    copy = timed(lambda: shutil.copytree(work / "model", work / "copy"))
    shutil.rmtree(work / "copy")
    os.sync()
    merge = timed(lambda: subprocess.run(
        [lorma, "merge", work / "model", work / "adapter", "-o", work / "merged", "--quiet"],
        check=True, stdout=subprocess.DEVNULL))
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({
        "megabytes": total, "weights": len(names), "adapted": len(half), "copy_seconds": copy,
        "merge_seconds": merge, "peak_mib": peak}, indent=1) + "\n")
    print(out.read_text())
    shutil.rmtree(work)


if __name__ == "__main__":
    main()
