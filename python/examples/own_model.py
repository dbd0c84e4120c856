#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""own_model.py: LoRMA in a model of one's own, without PEFT.

A frozen network learns rotated inputs by a multiplier alone; then the multiplier becomes part of the weight,
and is taken out again."""

import torch
from lorma import ops
from torch import nn


class AdaptedLinear(nn.Module):
    """A frozen Linear with P = I(s B A) on its outputs."""

    def __init__(self, base: nn.Linear, r: int, alpha: float, inflation: str) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.scale, self.inflation = alpha / r, inflation
        self.B = nn.Parameter(torch.empty(base.out_features, r))
        self.A = nn.Parameter(torch.empty(r, base.out_features))
        ops.initialize_(self.B, self.A, self.scale, inflation)

    def forward(self, x):
        return ops.linear(x, self.base.weight, self.base.bias, self.B, self.A, self.scale, self.inflation)


torch.manual_seed(0)
x = torch.randn(512, 32)
target = torch.tanh(torch.roll(x, 3, 1))
for inflation in ("identity", "cyclic"):
    torch.manual_seed(1)
    layer = AdaptedLinear(nn.Linear(32, 32), 4, 4.0, inflation)
    adam = torch.optim.Adam([layer.B, layer.A], 2e-2)
    for _ in range(300):
        adam.zero_grad()
        loss = nn.functional.mse_loss(torch.tanh(layer(x)), target)
        loss.backward()
        adam.step()
    weight = layer.base.weight
    merged = ops.merge(weight, layer.B, layer.A, layer.scale, inflation)
    again = ops.unmerge(merged, layer.B, layer.A, layer.scale, inflation)
    print(f"{inflation:8} loss {loss.item():.3f}, merged differs by "
          f"{(nn.functional.linear(x, merged, layer.base.bias) - layer(x)).abs().max().item():.0e}, "
          f"taken out again by {(again - weight).abs().max().item():.0e}")
