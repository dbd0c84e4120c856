# SPDX-License-Identifier: Apache-2.0
"""4. What goes with speed, over all runs."""

from __future__ import annotations

import math
from statistics import mean

from grid import Results
from measures import area, last, spearman
from pages import plot, table
from settings import LABELS, Settings

from .common import signed

METHODS = ("lora", "plus", "pi", "none")


def first(key: str):
    return lambda run: run["curve"][0].get(key)


def first_gradient(run: dict):
    """The norm of all the adapter's gradients at the first point of the curve."""
    return math.hypot(*(v for k, v in run["curve"][0]["gradients"].items() if k != "head" and v is not None))


FEATURES = {
    "effective rank of I(BA), first": first("effective_rank"), "effective rank of I(BA), last": last("effective_rank"),
    "effective rank of the change, first": first("change_effective_rank"),
    "effective rank of the change, last": last("change_effective_rank"),
    "norm of the adapter's gradients, first": first_gradient,
    "distance from W0, first": first("distance"), "distance from W0, last": last("distance"),
    "length of the path, last": last("path"), "learning rate": lambda run: run["settings"]["rate"]}


def plain(run: dict) -> bool:
    """Whether the run is of the whole model with a head that is trained along, an adapter of side Pre, no guard."""
    s = run["settings"]
    return (s["method"] in METHODS and s["head"] == "trained" and s["cut"] == 1.0 and not s["guard"]
            and not s["allotted"] and s["side"] == "pre" and area(run) < math.inf)


def case_of(run: dict) -> tuple:
    return run["settings"]["task"], run["settings"]["samples"]


#: Edges of the distances that are put together, relative to W0.
DISTANCES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, math.inf)


def by_distance(runs: list[dict]) -> str:
    """Area of movies' runs at r 8 on query and value, put together by how far the weights moved."""
    same = [run for run in runs if case_of(run) == ("movies", 0) and run["settings"]["rank"] == 8
            and tuple(run["settings"]["targets"]) == Settings.targets]
    rows = []
    for low, high in zip(DISTANCES, DISTANCES[1:]):
        row = [f"{low:g} to {high:g}" if high < math.inf else f"{low:g} and more"]
        for method in METHODS:
            areas = [area(run) for run in same if run["settings"]["method"] == method
                     and low <= (last("distance")(run) or 0.0) < high]
            row.append(f"{mean(areas):.3f} ({len(areas)})" if areas else "-")
        rows.append(row)
    return table(["distance from W0 at the end", *(LABELS[m] for m in METHODS)], rows)


def chapter(results: Results, docs):
    runs = [run for run in results.all() if plain(run)]
    areas: dict[tuple, list[float]] = {}
    for run in runs:
        areas.setdefault(case_of(run), []).append(area(run))

    def speed(run: dict) -> float:
        """How much less area than the task's mean: above 0 is faster."""
        return 1 - area(run) / mean(areas[case_of(run)])

    groups = {LABELS[m]: [run for run in runs if run["settings"]["method"] == m] for m in METHODS}
    rows, goes, untold = [], [], []
    for name, of in FEATURES.items():
        row = [name]
        for label, members in {"all methods": runs, **groups}.items():
            points = [(x, speed(run)) for run in members if (x := of(run)) is not None]
            many = len(points) >= 8 and len({x for x, _ in points}) > 1
            seen = spearman(*zip(*points)) if many else None
            told = seen is not None and seen.low * seen.high > 0
            text = "-" if seen is None else f"**{signed(seen, 2)}**" if told else signed(seen, 2)
            row.append(text)
            if label == "all methods" and seen is not None:
                (goes if told else untold).append(f"{name} ({text})")
        rows.append(row)
    drawn = {label: [(d, 100 * speed(run)) for run in members if (d := last("distance")(run))]
             for label, members in groups.items()}
    plot(docs / "gradient-flow.svg", "Speed over distance moved, a point a run",
         "distance from W0 at the end, relative", "area below the task's mean, %", drawn, lines=False)
    head = ["rank correlation with speed", f"all methods, {len(runs)} runs",
            *(f"{label}, {len(members)}" for label, members in groups.items())]
    says = [f"- Over all methods these go with speed: {'; '.join(goes)}."] if goes else []
    if untold:
        says.append(f"- Of these that cannot be told: {'; '.join(untold)}.")
    return {"table": table(head, rows), "distances": by_distance(runs), "says": "\n".join(says),
            "count": str(len(runs))}, []
