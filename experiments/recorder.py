# SPDX-License-Identifier: Apache-2.0
"""What is measured along training, besides the loss: how far the adapted weights moved and by what ranks."""

from __future__ import annotations

import torch
from lorma import analysis
from lorma.peft import LormaLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from methods import targets
from settings import Settings


class Recorder:
    """Watches the adapted weights of a model from their start."""

    def __init__(self, encoder: nn.Module, settings: Settings) -> None:
        self.encoder = encoder
        layers = {n: m for n, m in encoder.named_modules() if isinstance(m, BaseTunerLayer)}
        self.adapted = layers or targets(encoder, settings)
        self.start = {n: self._base(m).detach().clone() for n, m in self.adapted.items()}
        self.size = sum(float(w.square().sum()) for w in self.start.values()) ** 0.5
        self.last = self.changes()
        self.first = self.last
        self.path = 0.0

    @staticmethod
    def _base(module: nn.Module) -> torch.Tensor:
        return (module.get_base_layer() if isinstance(module, BaseTunerLayer) else module).weight

    @torch.no_grad()
    def changes(self) -> dict[str, torch.Tensor]:
        """W - W0 of every adapted weight."""
        return {name: module.get_delta_weight("default") if isinstance(module, BaseTunerLayer)
                else module.weight - self.start[name] for name, module in self.adapted.items()}

    def gradients(self, head: nn.Module) -> dict[str, float]:
        """Norms of the gradients of the factors A, of B, of weights that are trained whole, of the head."""
        squares: dict[str, float] = {}
        for name, p in self.encoder.named_parameters():
            if p.grad is not None:
                kind = "A" if "_A." in name else "B" if "_B." in name else "W"
                if kind != "W" or any(name.startswith(n + ".") for n in self.adapted):
                    squares[kind] = squares.get(kind, 0.0) + float(p.grad.square().sum())
        squares["head"] = sum(float(p.grad.square().sum()) for p in head.parameters() if p.grad is not None)
        return {kind: square ** 0.5 for kind, square in squares.items()}

    def moves(self) -> dict[str, float]:
        """Over the norm of all W0: distance from the start, and length of the path through the moments asked at."""
        now = self.changes()
        self.path += self._distance(now, self.last)
        self.last = now
        return {"distance": self._distance(now, self.first), "path": self.path}

    def _distance(self, a: dict, b: dict) -> float:
        return sum(float((a[n] - b[n]).square().sum()) for n in a) ** 0.5 / self.size

    @torch.no_grad()
    def ranks(self) -> dict[str, float]:
        """Of the change and of P, means over the adapted weights; the worst condition of P."""
        reports = [analysis.rank_report(change.float().cpu()) for change in self.last.values()]
        found = {"change_rank": _mean([r.rank for r in reports]),
                 "change_effective_rank": _mean([r.effective_rank for r in reports])}
        if any(isinstance(m, LormaLayer) for m in self.adapted.values()):
            multipliers = analysis.adapter_report(self.encoder).values()
            found["effective_rank"] = _mean([m["effective_rank"] for m in multipliers])
            found["condition"] = max(m["condition"] for m in multipliers)
        return found


def _mean(values: list) -> float:
    return sum(values) / len(values)
