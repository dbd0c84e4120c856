#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sharded.py: one layer whose frozen weight is cut over processes, trained with a LoRMA adapter.

    torchrun --nproc-per-node 2 python/examples/sharded.py

The loss does not depend on the number of processes."""

import gc

import torch
import torch.distributed as dist
from lorma.parallel import ParallelLinear


def train(inflation):
    """The loss after 50 steps, the same on every process."""
    rank, size = dist.get_rank(), dist.get_world_size()
    torch.manual_seed(0)  # the same numbers everywhere; each process keeps its rows
    W0, bias = torch.randn(64, 32) / 32 ** 0.5, torch.zeros(64)
    x, target = torch.randn(40, 32), torch.randn(40, 64)
    rows = slice(rank * 64 // size, (rank + 1) * 64 // size)
    layer = ParallelLinear(W0[rows], bias, "outputs", r=4, lora_alpha=4.0, inflation=inflation)
    adam = torch.optim.Adam([p for p in layer.parameters() if p.requires_grad], 1e-2)
    for _ in range(50):
        adam.zero_grad()
        loss = (layer(x) - target[:, rows]).square().sum() / target.numel()
        loss.backward()
        adam.step()
    total = loss.detach()
    dist.all_reduce(total)
    return total.item()


if __name__ == "__main__":
    dist.init_process_group("gloo")
    for inflation in ("identity", "cyclic"):
        loss = train(inflation)
        if dist.get_rank() == 0:
            print(f"{inflation:8} on {dist.get_world_size()} processes: loss {loss:.4f}")
    dist.barrier()
    gc.collect()  # torch ends a process by abort where something still refers to the group
    dist.destroy_process_group()
