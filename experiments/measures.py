# SPDX-License-Identifier: Apache-2.0
"""Numbers of one run, and of several runs that differ by their seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Callable, Optional, Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


def area(run: dict) -> float:
    """The mean training loss along the curve; infinite where a loss was no number."""
    losses = [point["loss"] for point in run["curve"]]
    return math.inf if None in losses else sum(losses) / len(losses)


def best_loss(run: dict) -> float:
    return min((p["loss"] for p in run["curve"] if p["loss"] is not None), default=math.inf)


def steps_to(run: dict, loss: float) -> float:
    """The first point of the curve at or under that loss; infinite where there is none."""
    return next((p["step"] for p in run["curve"] if p["loss"] is not None and p["loss"] <= loss), math.inf)


def score(run: dict, part: str = "test") -> float:
    """Accuracy for classes, Pearson's correlation for ratings."""
    found = run[part].get("accuracy", run[part].get("pearson"))
    return 0.0 if found is None else found


def last(key: str) -> Callable[[dict], Optional[float]]:
    """The last value of that name along the curve."""
    def of(run: dict) -> Optional[float]:
        return next((p[key] for p in reversed(run["curve"]) if p.get(key) is not None), None)
    return of


@dataclass(frozen=True)
class Interval:
    """A mean with its t interval; low and high are the mean's own where there is one value."""

    mean: float
    low: float
    high: float
    count: int

    def text(self, digits: int = 3, unit: float = 1.0) -> str:
        if not self.count:
            return "-"
        middle = f"{unit * self.mean:.{digits}f}"
        return middle if self.count < 2 else f"{middle} [{unit * self.low:.{digits}f}, {unit * self.high:.{digits}f}]"


def interval(values: Sequence[float]) -> Interval:
    """Of the mean of independent values; 95 %."""
    known = [v for v in values if v is not None]
    if not known:
        return Interval(math.nan, math.nan, math.nan, 0)
    mean = float(np.mean(known))
    if len(known) < 2 or not math.isfinite(mean):
        return Interval(mean, mean, mean, len(known))
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(known) - 1) * np.std(known, ddof=1) / math.sqrt(len(known)))
    return Interval(mean, mean - half, mean + half, len(known))


def differences(runs: Sequence[dict], others: Sequence[dict], of: Callable[[dict], float]) -> list[float]:
    """of(run) - of(other) for the seeds that both have, in the seeds' order."""
    by_seed = {o["settings"]["seed"]: of(o) for o in others}
    pairs = sorted((r["settings"]["seed"], of(r)) for r in runs if r["settings"]["seed"] in by_seed)
    return [value - by_seed[seed] for seed, value in pairs]


def ratios(runs: Sequence[dict], others: Sequence[dict], of: Callable[[dict], float]) -> list[float]:
    """of(run) / of(other) - 1, likewise."""
    by_seed = {o["settings"]["seed"]: of(o) for o in others}
    pairs = sorted((r["settings"]["seed"], of(r)) for r in runs if r["settings"]["seed"] in by_seed)
    return [value / by_seed[seed] - 1 for seed, value in pairs]


def verdict(changes: Sequence[float], items: Optional[Interval] = None) -> int:
    """1 or -1 where the sign can be told: at least three seeds, all of one sign, an interval without 0, and that of
    the test's items (where given) without 0 too. Else 0."""
    if len(changes) < 3 or not (all(c > 0 for c in changes) or all(c < 0 for c in changes)):
        return 0
    for bounds in (interval(changes), *([items] if items else [])):
        if not bounds.low * bounds.high > 0:
            return 0
    return 1 if changes[0] > 0 else -1


def right(run: dict) -> np.ndarray:
    """1 for each item of the test that was answered rightly, 0 for the others."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(run["right"]["bits"]), np.uint8))
    return bits[:run["right"]["count"]].astype(float)


def item_interval(runs: Sequence[dict], others: Sequence[dict], draws: int = 1000) -> Interval:
    """Of the difference in accuracy: items of the test and seeds are drawn again, with replacement; 95 %."""
    by_seed = {o["settings"]["seed"]: o for o in others}
    pairs = [(r, by_seed[r["settings"]["seed"]]) for r in runs if r["settings"]["seed"] in by_seed]
    if not pairs:
        return Interval(math.nan, math.nan, math.nan, 0)
    gains = np.stack([right(a) - right(b) for a, b in pairs])
    rng = np.random.default_rng(1)
    seeds = rng.integers(len(gains), size=(draws, len(gains)))
    items = rng.integers(gains.shape[1], size=(draws, gains.shape[1]))
    means = [gains[chosen].mean(0)[of].mean() for chosen, of in zip(seeds, items)]
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(gains.mean()), float(low), float(high), len(pairs))


def spearman(x: Sequence[float], y: Sequence[float]) -> Interval:
    """Rank correlation with its bootstrap interval over the points; 95 %."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    if len(x) < 4:
        return Interval(math.nan, math.nan, math.nan, 0)
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(1000):
        i = rng.integers(len(x), size=len(x))
        if np.ptp(x[i]) and np.ptp(y[i]):
            draws.append(stats.spearmanr(x[i], y[i]).statistic)
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(stats.spearmanr(x, y).statistic), float(low), float(high), len(x))
