# SPDX-License-Identifier: Apache-2.0
"""4. What goes with speed, over all runs."""

from __future__ import annotations

import math

from measures import last, spearman
from pages import plot

from .common import *


def first(key: str):
    return lambda run: run["curve"][0].get(key)


def first_gradient(run: dict):
    """The norm of all the adapter's gradients at the first point of the curve."""
    return math.hypot(*(v for k, v in run["curve"][0]["gradients"].items() if k != "head" and v is not None))


FEATURES = {"effective rank of I(BA), first": first("effective_rank"), "effective rank of I(BA), last": last("effective_rank"),
            "effective rank of the change, first": first("change_effective_rank"),
            "effective rank of the change, last": last("change_effective_rank"),
            "norm of the adapter's gradients, first": first_gradient,
            "distance from W0, first": first("distance"), "distance from W0, last": last("distance"),
            "length of the path, last": last("path"), "learning rate": lambda run: run["settings"]["rate"]}


def plain(run: dict) -> bool:
    """Whether the run is of the model as it is, with a head that is trained along, at r 8 on query and value."""
    s = run["settings"]
    return (s["method"] in ("lora", "plus", "pi", "none") and s["head"] == "trained" and s["cut"] == 1.0 and not s["guard"]
            and not s["allotted"] and s["side"] == "pre" and area(run) < math.inf)


def speed(run: dict, alone: dict[tuple, float]) -> float:
    """How much less area than the task's mean: above 0 is faster."""
    return 1 - area(run) / alone[run["settings"]["task"], run["settings"]["samples"]]


def chapter(results: Results, docs):
    runs = [run for run in results.all() if plain(run)]
    by_task: dict[tuple, list[float]] = {}
    for run in runs:
        by_task.setdefault((run["settings"]["task"], run["settings"]["samples"]), []).append(area(run))
    usual = {task: mean(areas) for task, areas in by_task.items()}
    groups = {"all methods": runs}
    groups |= {LABELS[m]: [r for r in runs if r["settings"]["method"] == m] for m in ("lora", "plus", "pi", "none")}
    rows, says = [], []
    for name, of in FEATURES.items():
        row = [name]
        for label, members in groups.items():
            points = [(x, speed(run, usual)) for run in members if (x := of(run)) is not None]
            found = spearman(*zip(*points)) if len(points) >= 8 and len({x for x, _ in points}) > 1 else None
            text = "-" if found is None else signed(found, 2)
            told = found is not None and found.low * found.high > 0
            row.append(f"**{text}**" if told else text)
            if label == "all methods":
                says.append(f"- Over all methods, {name} goes with speed by {text}." if told else
                            f"- Over all methods, whether {name} goes with speed cannot be told ({text}).")
        rows.append(row)
    drawn = {}
    for label, members in list(groups.items())[1:]:
        drawn[label] = [(d, 100 * speed(run, usual)) for run in members if (d := last("distance")(run))]
    plot(docs / "gradient-flow.svg", "Speed over distance moved, a point a run", "distance from W0 at the end, relative",
         "area below the task's mean, %", drawn, lines=False)
    return {"table": table(["rank correlation with speed", *(f"{label}, {len(m)} runs" for label, m in groups.items())], rows),
            "says": "\n".join(says), "count": str(len(runs))}, []
