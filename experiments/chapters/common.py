# SPDX-License-Identifier: Apache-2.0
"""What chapters share: groups of runs, the table that compares them, and words for what can be told."""

from __future__ import annotations

import math
from statistics import mean
from typing import Callable, Optional, Sequence

from grid import MORE_SEEDS, SEEDS, Results, tuned_rate
from measures import (Interval, area, best_loss, differences, interval, item_interval, last, ratios, score, steps_to,
                      verdict)
from pages import table
from settings import Settings

Runs = Sequence[dict]


def found(results: Results, wanted: Sequence[Settings]) -> list[dict]:
    """Those of the wanted runs that are there."""
    return [run for settings in wanted if (run := results.of(settings)) is not None]


def at(results: Results, method: str, rate: float, seeds=SEEDS + MORE_SEEDS, **fields) -> list[dict]:
    return found(results, [Settings(method=method, rate=rate, seed=seed, **fields) for seed in seeds])


def tuned(results: Results, method: str, task: str = "movies", swept: Optional[str] = None, **fields) -> list[dict]:
    """At the rate that the sweep on `swept` (the task, unless said) chose; nothing before it has."""
    rate = tuned_rate(results, swept or task, method)
    return [] if rate is None else at(results, method, rate, task=task, **fields)


def best_of(results: Results, sweep: Sequence[Settings]) -> list[dict]:
    """The runs at the rate of a sweep with the least mean dev loss, among the rates that have all seeds."""
    groups: dict[float, list[dict]] = {}
    for run in found(results, sweep):
        groups.setdefault(run["settings"]["rate"], []).append(run)
    whole = [runs for runs in groups.values() if len(runs) == len(SEEDS)]
    return min(whole, key=lambda runs: mean(run["dev"]["loss"] for run in runs), default=[])


def values(runs: Runs, of: Callable[[dict], Optional[float]]) -> Interval:
    return interval([of(run) for run in runs])


def percent(changes: Sequence[float]) -> str:
    """As -23.0 [-30.1, -15.9] %, bold where the sign can be told."""
    if not changes:
        return "-"
    text = signed(interval(changes), 1, 100) + " %"
    return f"**{text}**" if verdict(changes) else text


def signed(of: Interval, digits: int, unit: float = 1.0) -> str:
    middle = f"{unit * of.mean:+.{digits}f}"
    return middle if of.count < 2 else f"{middle} [{unit * of.low:+.{digits}f}, {unit * of.high:+.{digits}f}]"


def better(runs: Runs, others: Runs) -> int:
    """The sign of the difference in the test's score, 0 where it cannot be told."""
    changes = differences(runs, others, score)
    items = item_interval(runs, others) if len(changes) > 2 and "right" in runs[0] else None
    return verdict(changes, items)


def gain(runs: Runs, others: Runs, digits: int = 3) -> str:
    """The difference in the test's score, bold where its sign can be told."""
    changes = differences(runs, others, score)
    if not changes:
        return "-"
    text = signed(interval(changes), digits)
    return f"**{text}**" if better(runs, others) else text


def steps_text(runs: Runs, others: Runs) -> str:
    """Steps to the other's best loss of the same seed, a seed each: as 30, 40, never."""
    best = {o["settings"]["seed"]: best_loss(o) for o in others}
    steps = [steps_to(r, best[r["settings"]["seed"]]) for r in runs if r["settings"]["seed"] in best]
    return ", ".join("never" if math.isinf(s) else f"{s:.0f}" for s in steps) or "-"


def comparison(groups: dict[str, Runs], against: str, score_name: str = "accuracy") -> str:
    """A row a group: how well and how fast, and that beside one of them."""
    base = groups.get(against, [])
    rows = []
    for label, runs in groups.items():
        if not runs:
            rows.append([label] + ["-"] * 8)
            continue
        same = label == against
        rows.append([label, f"{runs[0]['settings']['rate']:g}", str(len(runs)), values(runs, score).text(),
                     "" if same else gain(runs, base), values(runs, area).text(),
                     "" if same else percent(ratios(runs, base, area)), steps_text(runs, base),
                     values(runs, last("distance")).text(2)])
    head = ["", "rate", "seeds", f"test {score_name}", f"minus {against}'s", "area under the loss curve",
            f"over {against}'s", f"steps to {against}'s best loss, a seed each", "distance from W0, relative"]
    return table(head, rows)


def curves(groups: dict[str, Runs], key: str = "loss") -> dict[str, list[tuple]]:
    """Mean and interval at each point, for plot."""
    drawn = {}
    for label, runs in groups.items():
        points = []
        for same in zip(*(run["curve"] for run in runs)):
            known = [p[key] for p in same if p.get(key) is not None]
            if len(known) == len(same):
                at_step = interval(known)
                points.append((same[0]["step"], at_step.mean, at_step.low, at_step.high))
        drawn[label] = points
    return drawn


def sentences(told: Sequence[tuple[str, int]]) -> str:
    """What (a comparison, its sign) say: a line for each that can be told, one for all that cannot."""
    lines = [f"- {what}: {'greater' if sign > 0 else 'smaller'}." for what, sign in told if sign]
    untold = [what[0].lower() + what[1:] for what, sign in told if not sign]
    if untold:
        lines.append(f"- Cannot be told from these runs: {'; '.join(untold)}.")
    return "\n".join(lines)


def outcome(sign: int, wanted: int) -> str:
    """A claim's row in the summary."""
    return "cannot be told here" if not sign else "holds here" if sign == wanted else "does not hold here"


def no_worse(runs: Runs, others: Runs, told: str) -> str:
    """A row's verdict where the claim is that nothing is lost."""
    if len(differences(runs, others, score)) < 3:
        return "cannot be told here"
    sign = better(runs, others)
    return "does not hold here" if sign < 0 else "holds here: it is better" if sign > 0 else told
