# SPDX-License-Identifier: Apache-2.0
"""One file a page: chapter(results, docs) -> (the template's blocks, rows of the summary); pictures go to docs.

A row of the summary: the claim, the paper's figure, ours, what that says, the page."""

from statistics import mean

import grid
from grid import Results
from pages import table

from . import allotted, baseline, cost, deficient, gradient_flow, guarded, inflation, rank, sides, which

CHAPTERS = {"baseline": baseline.chapter, "inflation": inflation.chapter, "rank": rank.chapter,
            "gradient-flow": gradient_flow.chapter, "deficient": deficient.chapter, "cost": cost.chapter,
            "allotted": allotted.chapter, "which": which.chapter, "guarded": guarded.chapter, "sides": sides.chapter}


def summary(results: Results, claims: list[list[str]]) -> dict[str, str]:
    """The blocks of the summary's template."""
    rows = [[claim, paper, ours, f"**{says}**", f"[{page}]({page}.md)"] for claim, paper, ours, says, page in claims]
    plan = []
    usual = _usual_seconds(results)
    for name in grid.EXPERIMENTS:
        needed = grid.planned(results, [name]).values()
        there = [run for s in needed if (run := results.of(s)) is not None]
        plan.append([f"[{name}]({name}.md)", str(len(needed)), str(len(there)), _hours(needed, usual)])
    needed = grid.planned(results)
    count = sum(results.of(s) is not None for s in needed.values())
    plan.append(["all, each run once", str(len(needed)), str(count), _hours(needed.values(), usual)])
    return {"claims": table(["claim of the paper, or its open question", "there", "here", "", "page"], rows),
            "plan": table(["experiment", "runs", "there", "CPU hours of one thread"], plan),
            "progress": f"**{count} of {len(needed)} runs are there.** " + ("" if count == len(needed) else
                        "Rows that lack runs say so; the others say what these runs say.")}


def _usual_seconds(results: Results) -> dict[str, float]:
    """CPU seconds of a run, by method, from the runs that are there."""
    seen: dict[str, list[float]] = {}
    for run in results.all():
        seen.setdefault(run["settings"]["method"], []).append(run["seconds"]["cpu"])
    return {method: mean(seconds) for method, seconds in seen.items()}


def _hours(needed, usual: dict[str, float]) -> str:
    """Of all runs, taken at their method's usual time, or the mean of all methods'."""
    if not usual:
        return "-"
    return f"{sum(usual.get(s.method, mean(usual.values())) for s in needed) / 3600:.1f}"
