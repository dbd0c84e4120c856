# SPDX-License-Identifier: Apache-2.0
"""Ranks allotted across the layers of a PEFT model under one budget, while it is trained (AdaLoRMA).

    scores = lorma.allocate.Sensitivity(model)
    for step, batch in enumerate(batches):
        loss(model, batch).backward()
        scores.update()
        if step in (10, 20, 30):                       # then train on at the ranks found
            lorma.allocate.reallot_(model, scores, share=0.25, optimizer=optimizer)
        optimizer.step()

A component of a layer is a column of B with its row of A. What is scored is what the loss would lose, to
first order, were it taken away: |<dL/dM, s b a>| = |a . dL/da|, averaged over the updates. The
components of least score are pruned, and as many numbers are given to the layers whose components
are worth most. Nothing else changes: s stays, new components start as nothing, and P moves by
what was pruned alone. Where P starts at the identity by a component (the first one of LoRMA_pi), that
one stays. The scores go where AdaLoRA's go (arXiv 2303.10512), without its decomposition of M.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any, Optional

import torch
from torch import Tensor, nn

from .peft import LormaLayer


def _layers(model: nn.Module, adapter: str) -> dict[str, LormaLayer]:
    found = {n: m for n, m in model.named_modules() if isinstance(m, LormaLayer) and adapter in m.lorma_B}
    if not found:
        raise ValueError(f"lorma.allocate: expected a model with a LoRMA adapter {adapter!r}, found no layer of it")
    return found


class Sensitivity:
    """The mean score of every component since the last reallotment. Memory: a number a component."""

    def __init__(self, model: nn.Module, adapter: str = "default") -> None:
        self.model, self.adapter = model, adapter
        self.restart()

    def restart(self) -> None:
        self._sums = {n: torch.zeros(m.lorma_B[self.adapter].shape[1], dtype=torch.float64)
                      for n, m in _layers(self.model, self.adapter).items()}
        self._updates = 0

    @torch.no_grad()
    def update(self) -> None:
        """To be called between backward and the optimizer's step. Raises ValueError where there is no gradient."""
        for name, layer in _layers(self.model, self.adapter).items():
            A = layer.lorma_A[self.adapter]
            if A.grad is None:
                raise ValueError(f"lorma.allocate.Sensitivity.update: expected gradients, {name} has none; call it "
                                 "after backward")
            self._sums[name] += (A * A.grad).sum(1).abs().double().cpu()
        self._updates += 1

    def mean(self) -> dict[str, Tensor]:
        """Scores [r] by layer. Raises ValueError before the first update."""
        if not self._updates:
            raise ValueError("lorma.allocate.Sensitivity: expected at least one update before its scores are used")
        return {name: total / self._updates for name, total in self._sums.items()}


@dataclass(frozen=True)
class Change:
    """What becomes of a layer: the components that stay, in order, and how many begin."""

    kept: tuple[int, ...]
    added: int

    @property
    def rank(self) -> int:
        return len(self.kept) + self.added


def plan(scores: dict[str, Tensor], sizes: dict[str, int], share: float, least: int = 1, most: Optional[int] = None,
         fixed: int = 0) -> dict[str, Change]:
    """Which components go and where as many numbers are given back, by layer.

    Of all components the `share` of least score goes, but the first `fixed` of a layer and what `least`
    needs. A component of a layer costs sizes[layer] numbers (2 n). What was freed is given out one
    component at a time, to the layer with the greatest sum of kept scores over (its rank + 1) and over the
    cost: the method of highest averages. No rank grows above `most` or n. Never more numbers
    than before; fewer by less than one component. Raises ValueError for a share outside [0, 1].
    """
    if not 0.0 <= share <= 1.0 or least < 1 or (most is not None and most < least):
        raise ValueError("lorma.allocate.plan: expected 0 <= share <= 1 and 1 <= least <= most, got "
                         f"{share}, {least}, {most}")
    everything = sorted((float(score), name, i) for name, of in scores.items() for i, score in enumerate(of))
    kept = {name: set(range(len(of))) for name, of in scores.items()}
    budget, to_go = 0, round(share * len(everything))
    for _, name, i in everything:
        if to_go and i >= fixed and len(kept[name]) > least:
            kept[name].remove(i)
            budget += sizes[name]
            to_go -= 1
    worth = {name: float(scores[name][sorted(kept[name])].sum()) for name in scores}
    added = dict.fromkeys(scores, 0)

    def claim(name: str) -> tuple[float, str]:
        return -worth[name] / (len(kept[name]) + added[name] + 1) / sizes[name], name

    claims = [claim(name) for name in scores]
    heapq.heapify(claims)
    while claims:
        _, name = heapq.heappop(claims)
        rank = len(kept[name]) + added[name]
        if sizes[name] <= budget and rank < min(sizes[name] // 2, most or rank + 1):
            added[name] += 1
            budget -= sizes[name]
            heapq.heappush(claims, claim(name))
    return {name: Change(tuple(sorted(kept[name])), added[name]) for name in scores}


def reallot_(model: nn.Module, scores: Sensitivity, share: float = 0.25, least: int = 1, most: Optional[int] = None,
             optimizer: Optional[torch.optim.Optimizer] = None) -> dict[str, int]:
    """Prunes and regrows components in place, once; the ranks by layer.

    The factors become new parameters; with `optimizer` they take the places of the old ones in it, and the
    state of components that stay goes along. The adapter's configuration says the new ranks, so that
    save_pretrained and PEFT's loading know them. Gradients go along too. The scores start again.
    Raises ValueError, with the model as it was, for values that `plan` refuses and for a merged layer.
    """
    adapter = scores.adapter
    layers = _layers(model, adapter)
    merged = [name for name, layer in layers.items() if adapter in layer.merged_adapters]
    if merged:
        raise ValueError(f"lorma.allocate.reallot_: expected adapters that are not merged, {merged[0]} is")
    fixed = 1 if any(layer.specs[adapter].inflation == "cyclic" for layer in layers.values()) else 0
    sizes = {name: 2 * len(layer.lorma_B[adapter]) for name, layer in layers.items()}
    changes = plan(scores.mean(), sizes, share, least, most, fixed)
    for name, change in changes.items():
        if change.added or change.rank != layers[name].specs[adapter].r:
            _resize(layers[name], adapter, change, optimizer)
    _tell_config(model, layers, adapter)
    scores.restart()
    return {name: change.rank for name, change in changes.items()}


@torch.no_grad()
def _resize(layer: LormaLayer, adapter: str, change: Change, optimizer: Optional[torch.optim.Optimizer]) -> None:
    B, A, spec = layer.lorma_B[adapter], layer.lorma_A[adapter], layer.specs[adapter]
    # A new component is one of a multiplier that starts as the identity: B is drawn for the cyclic one, else A.
    new_B, new_A = B.new_zeros(len(B), change.added), A.new_zeros(change.added, len(B))
    if spec.inflation == "cyclic":
        new_B.uniform_(-1.0, 1.0).mul_((spec.scale * change.rank) ** -0.5)
    else:
        new_A.uniform_(-1.0, 1.0).mul_(len(B) ** -0.5)
    kept = torch.tensor(change.kept, dtype=torch.long, device=B.device)

    def grown(tensor: Tensor, new: Tensor, axis: int) -> Tensor:
        return torch.cat([tensor.index_select(axis, kept), new], dim=axis)

    for factors, old, new, axis in ((layer.lorma_B, B, new_B, 1), (layer.lorma_A, A, new_A, 0)):
        parameter = nn.Parameter(grown(old, new, axis), requires_grad=old.requires_grad)
        if old.grad is not None:
            parameter.grad = grown(old.grad, torch.zeros_like(new), axis)
        if optimizer is not None:
            _replace(optimizer, old, parameter, lambda state: grown(state, torch.zeros_like(new, dtype=state.dtype),
                                                                    axis))
        factors[adapter] = parameter
    spec.alpha, spec.r = spec.scale * change.rank, change.rank


def _replace(optimizer: torch.optim.Optimizer, old: Tensor, new: nn.Parameter, resized) -> None:
    for group in optimizer.param_groups:
        group["params"] = [new if p is old else p for p in group["params"]]
    if old in optimizer.state:
        state: dict[str, Any] = optimizer.state.pop(old)
        optimizer.state[new] = {k: resized(v) if torch.is_tensor(v) and v.shape == old.shape else v
                                for k, v in state.items()}


def _tell_config(model: nn.Module, layers: dict[str, LormaLayer], adapter: str) -> None:
    config = model.peft_config[adapter]
    for name, layer in layers.items():
        spec, module = layer.specs[adapter], name.removeprefix("base_model.model.")
        config.rank_pattern[module], config.alpha_pattern[module] = spec.r, spec.alpha
        if config.layers and (entry := config.layers.get(f"base_model.model.{module}")):
            entry["rank"], entry["alpha"] = spec.r, float(spec.alpha)
