# SPDX-License-Identifier: Apache-2.0
"""A linear layer whose frozen weight is cut over the ranks of a process group, with a LoRMA adapter.

    layer = ParallelLinear(weight_part, bias, cut="outputs", r=8, lora_alpha=8, inflation="cyclic")
    h_part = layer(x)                                  # x [..., k] on all ranks, h [..., d / w] on each

cut "outputs": W0 [d / w, k] a rank, x whole on all ranks, h cut. cut "inputs": W0 [d, k / w], x cut,
h whole on all ranks. Factors are whole on all ranks, 2 n r numbers, drawn alike and their gradients
summed, so that neither the start of training nor what is saved depends on the number of ranks w.

Bytes that a rank sends for b tokens of float32, forward and backward together, for the adapter alone
(an all-reduce of m bytes sends 2 (w-1)/w m, an all-gather or an exchange of m bytes a rank (w-1)/w m
of the whole):

    P on cut features      "identity", "none"  two all-reduces of b r        16 (w-1)/w b r
                           "cyclic"            four exchanges of b n / w     16 (w-1)/w b n / w
    P on whole features    "identity", "none"  nothing
                           "cyclic"            two all-gathers of b n        8 (w-1)/w b n
    gradients of factors   where they are partial: an all-reduce of 2 n r    16 (w-1)/w n r
"""

from __future__ import annotations

from typing import Optional

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from . import ops


class Group:
    """The ranks that share a layer; every byte goes through here and is counted in `sent`."""

    def __init__(self, group: Optional[dist.ProcessGroup] = None) -> None:
        self.group = group
        self.size = dist.get_world_size(group)
        self.rank = dist.get_rank(group)
        self.sent = 0.0

    def _count(self, tensor: Tensor, times: int) -> None:
        self.sent += times * (self.size - 1) / self.size * tensor.numel() * tensor.element_size()

    def sum(self, tensor: Tensor) -> Tensor:
        tensor = tensor.contiguous().clone()
        dist.all_reduce(tensor, group=self.group)
        self._count(tensor, 2)
        return tensor

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all ranks, in their order."""
        out = rows.new_empty(self.size * len(rows), *rows.shape[1:])
        dist.all_gather_into_tensor(out, rows.contiguous(), group=self.group)
        self._count(out, 1)
        return out

    def exchange(self, blocks: Tensor) -> Tensor:
        """blocks [w, ...]: block i goes to rank i; what comes is in the order of the ranks."""
        out = torch.empty_like(blocks, memory_format=torch.contiguous_format)
        dist.all_to_all_single(out, blocks.contiguous(), group=self.group)
        self._count(out, 1)
        return out

    def cut(self, n: int) -> slice:
        """This rank's share of n features. Raises ValueError where w does not divide n."""
        if n % self.size:
            raise ValueError(f"lorma.parallel: expected a number of features that {self.size} ranks share, got {n}")
        part = n // self.size
        return slice(self.rank * part, (self.rank + 1) * part)


class _SumOfGradients(torch.autograd.Function):
    """What all ranks have alike and each uses for a part of the result."""

    @staticmethod
    def forward(ctx, tensor, group):
        ctx.group = group
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.group.sum(gradient), None


class _Sum(torch.autograd.Function):
    """The sum over the ranks, which all of them have; `partial`: each then uses it for a part of the result."""

    @staticmethod
    def forward(ctx, tensor, group, partial):
        ctx.group, ctx.partial = group, partial
        return group.sum(tensor)

    @staticmethod
    def backward(ctx, gradient):
        return ctx.group.sum(gradient) if ctx.partial else gradient, None, None


def _to_tokens(y: Tensor, group: Group) -> Tensor:
    """[b, n / w] with b divisible by w -> this rank's tokens whole, [b / w, n]."""
    w = group.size
    received = group.exchange(y.reshape(w, len(y) // w, -1))
    return received.transpose(0, 1).reshape(len(y) // w, -1)


def _to_features(y: Tensor, group: Group) -> Tensor:
    """The way back."""
    w = group.size
    return group.exchange(y.reshape(len(y), w, -1).transpose(0, 1)).reshape(len(y) * w, -1)


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx, y, group, to_tokens):
        ctx.group, ctx.to_tokens = group, to_tokens
        return (_to_tokens if to_tokens else _to_features)(y, group)

    @staticmethod
    def backward(ctx, gradient):
        return (_to_features if ctx.to_tokens else _to_tokens)(gradient, ctx.group), None, None


class _Share(torch.autograd.Function):
    """This rank's tokens of what all have, or (back) all tokens of what each has."""

    @staticmethod
    def forward(ctx, y, group, back):
        ctx.group, ctx.back = group, back
        return group.gather(y) if back else y[group.cut(len(y))]

    @staticmethod
    def backward(ctx, gradient):
        group = ctx.group
        return gradient[group.cut(len(gradient))] if ctx.back else group.gather(gradient), None, None


def _padded(y: Tensor, group: Group) -> Tensor:
    """Tokens [b, ...] with rows of zeros, so that w divides their number."""
    return F.pad(y, (0, 0, 0, -len(y) % group.size))


def multiply_cut(y: Tensor, B: Tensor, A: Tensor, scale: float, inflation: str, group: Group) -> Tensor:
    """P on features that are cut over the ranks: y [..., n / w] here and in the result; B, A whole."""
    mine = group.cut(len(B))
    tokens = y.reshape(-1, y.shape[-1])
    B, A = _SumOfGradients.apply(B, group), _SumOfGradients.apply(A, group)
    if inflation == "cyclic":
        columns = _Exchange.apply(_padded(tokens, group), group, True)
        h = _Exchange.apply(ops.multiply(columns, B, A, scale, inflation), group, False)[:len(tokens)]
    else:
        inner = _Sum.apply(tokens @ A[:, mine].T, group, True)
        h = scale * (inner @ B[mine].T)
        h = tokens + h if inflation == "identity" else h
    return h.reshape(y.shape)


def multiply_whole(y: Tensor, B: Tensor, A: Tensor, scale: float, inflation: str, group: Group) -> Tensor:
    """P on y [..., n] that all ranks have alike, and have alike again: "cyclic" shares the tokens."""
    if inflation != "cyclic":
        return ops.multiply(y, B, A, scale, inflation)
    tokens = y.reshape(-1, y.shape[-1])
    B, A = _SumOfGradients.apply(B, group), _SumOfGradients.apply(A, group)
    mine = _Share.apply(_padded(tokens, group), group, False)
    h = _Share.apply(ops.multiply(mine, B, A, scale, inflation), group, True)[:len(tokens)]
    return h.reshape(y.shape)


class ParallelLinear(nn.Module):
    """See above. `weight` is this rank's part; `bias` is [d] whole, or None; `seed` draws the factors."""

    def __init__(self, weight: Tensor, bias: Optional[Tensor], cut: str, r: int = 8, lora_alpha: float = 8.0,
                 inflation: str = "identity", side: str = "pre", group: Optional[dist.ProcessGroup] = None,
                 seed: int = 0) -> None:
        super().__init__()
        ops.check(inflation, side)
        if cut not in ("outputs", "inputs"):
            raise ValueError(f"ParallelLinear: expected cut outputs or inputs, got {cut!r}")
        self.group, self.cut, self.inflation, self.side = Group(group), cut, inflation, side
        self.scale = lora_alpha / r
        self.register_buffer("weight", weight.detach())
        self.register_buffer("bias", None if bias is None else bias.detach())
        d, k = weight.shape
        d, k = (d * self.group.size, k) if cut == "outputs" else (d, k * self.group.size)
        n = d if side == "pre" else k
        B, A = torch.empty(n, r), torch.empty(r, n)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            ops.initialize_(B, A, self.scale, inflation)
        self.lorma_B, self.lorma_A = nn.Parameter(B.to(weight.device)), nn.Parameter(A.to(weight.device))

    def _multiply(self, y: Tensor, is_cut: bool) -> Tensor:
        act = multiply_cut if is_cut else multiply_whole
        return act(y, self.lorma_B, self.lorma_A, self.scale, self.inflation, self.group)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.bias
        if self.cut == "outputs":
            if self.side == "post":
                x = self._multiply(x, False)
            h = F.linear(_SumOfGradients.apply(x, self.group), self.weight)
            if self.side == "pre":
                h = self._multiply(h, True)
            return h if bias is None else h + bias[self.group.cut(len(bias))]
        if self.side == "post":
            x = self._multiply(x, True)
        h = _Sum.apply(F.linear(x, self.weight), self.group, False)
        if self.side == "pre":
            h = self._multiply(h, False)
        return h if bias is None else h + bias
