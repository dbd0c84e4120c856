# SPDX-License-Identifier: Apache-2.0
"""What acts on LoRMA's multipliers besides the loss: guards that keep them invertible, and ranks that move."""

from __future__ import annotations

import math

import torch
from lorma import allocate, invertible, ops
from lorma.peft import LormaLayer
from torch import nn

from settings import Settings


SAMPLES = 10  #: of bounds on LoRMA_pi's condition, which are wrong with probability 1e-10 then


class Guard:
    """No guard; and what every run with multipliers says of them at its end."""

    def __init__(self, encoder: nn.Module) -> None:
        self.layers = [m for m in encoder.modules() if isinstance(m, LormaLayer)]

    def factors(self):
        """(B, A, scale, inflation) of every layer."""
        for layer in self.layers:
            spec = layer.specs["default"]
            yield layer.lorma_B["default"], layer.lorma_A["default"], spec.scale, spec.inflation

    def penalty(self):
        return 0.0

    def after_step(self) -> None:
        pass

    @torch.no_grad()
    def bound(self) -> float | None:
        """The worst of the bounds on the condition of P."""
        found = [invertible.condition_bound(*of, SAMPLES) for of in self.factors() if of[3] != "none"]
        return max(found) if found else None

    @torch.no_grad()
    def report(self) -> dict:
        """The worst layer's relative change of a bfloat16 weight merged and unmerged; null where unmerge refuses."""
        errors = []
        for layer, (B, A, scale, inflation) in zip(self.layers, self.factors()):
            if inflation == "none":
                return {}
            weight, side = layer.get_base_weight().bfloat16(), layer.specs["default"].side
            try:
                back = ops.unmerge(ops.merge(weight, B, A, scale, inflation, side), B, A, scale, inflation, side)
                errors.append(float((back.float() - weight.float()).norm() / weight.float().norm()))
            except RuntimeError:
                errors.append(math.inf)
        return {"unmerge_bf16": max(errors)} if errors else {}


class Barrier(Guard):
    """weight * the sum of the layers' -log|det P|."""

    def __init__(self, encoder: nn.Module, weight: float) -> None:
        super().__init__(encoder)
        self.weight = weight

    def penalty(self):
        return self.weight * sum(invertible.log_barrier(B, A, scale) for B, A, scale, _ in self.factors())


class Projection(Guard):
    """After every step, each P back to where its condition is bounded."""

    def __init__(self, encoder: nn.Module, limit: float) -> None:
        super().__init__(encoder)
        self.limit, self.count, self.acted = limit, 0, 0

    @torch.no_grad()
    def after_step(self) -> None:
        for B, A, scale, inflation in self.factors():
            self.count += 1
            self.acted += invertible.project_(B, A, scale, self.limit, inflation, SAMPLES) > self.limit

    def report(self) -> dict:
        return {**super().report(), "projected": self.acted / self.count}


def make(encoder: nn.Module, settings: Settings) -> Guard:
    """The guard that the settings ask for."""
    if not settings.guard:
        return Guard(encoder)
    kind, _, number = settings.guard.partition(":")
    if kind not in ("barrier", "projection"):
        raise ValueError(f"guards: expected barrier:WEIGHT or projection:LIMIT, got {settings.guard!r}")
    return (Barrier if kind == "barrier" else Projection)(encoder, float(number))


class Allotment:
    """AdaLoRMA: after a tenth, two and three tenths of the steps a quarter of the components moves."""

    def __init__(self, model: nn.Module, steps: int) -> None:
        self.encoder = model.encoder
        self.scores = allocate.Sensitivity(self.encoder)
        self.when = {round(steps * tenth / 10) for tenth in (1, 2, 3)}

    def after_backward(self, step: int, optimizer: torch.optim.Optimizer) -> None:
        self.scores.update()
        if step in self.when:
            allocate.reallot_(self.encoder, self.scores, share=0.25, optimizer=optimizer)

    def ranks(self) -> list[int]:
        return [m.specs["default"].r for m in self.encoder.modules() if isinstance(m, LormaLayer)]
