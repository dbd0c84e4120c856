# SPDX-License-Identifier: Apache-2.0
"""7. Ranks allotted under one budget against uniform ones."""

from __future__ import annotations

from pages import plot

from .common import *

PAIRS = ("plus", "pi", "none")


def adalora(results: Results, task: str) -> list[dict]:
    rate = tuned_rate(results, "movies", "adalora")
    return [] if rate is None else at(results, "adalora", rate, task=task)


def chapter(results: Results, docs):
    blocks, says, claims = {}, [], []
    for task in ("movies", "gloss"):
        rows = []
        for method in PAIRS:
            uniform, moved = tuned(results, method, task), tuned(results, method, task, allotted=True)
            rows.append([LABELS[method], str(len(moved)), values(uniform, score).text(), values(moved, score).text(),
                         gain(moved, uniform), percent(ratios(moved, uniform, area))])
            changes = differences(moved, uniform, score)
            sign = verdict(changes, item_interval(moved, uniform)) if changes else 0
            says.append(tell(f"{task}: the accuracy of {LABELS[method]} with allotted ranks against uniform ones "
                             f"({gain(moved, uniform)})", sign))
            claims.append([f"question 1: allotted ranks serve {LABELS[method]} better than uniform ones ({task})", "open",
                           gain(moved, uniform), outcome(sign, 1), "allotted"])
        lora, ada = tuned(results, "lora", task), adalora(results, task)
        rows.append(["LoRA, AdaLoRA", str(len(ada)), values(lora, score).text(), values(ada, score).text(), gain(ada, lora),
                     percent(ratios(ada, lora, area))])
        blocks[task] = table(["", "seeds", "uniform, accuracy", "allotted", "minus uniform", "area over uniform's"], rows) + "\n" + BOLD
    drawn = {}
    for method in PAIRS:
        runs = [run for run in tuned(results, method, "movies", allotted=True) if "ranks" in run]
        if runs:
            drawn[LABELS[method]] = [(i, mean(run["ranks"][i] for run in runs)) for i in range(len(runs[0]["ranks"]))]
    plot(docs / "allotted.svg", "Ranks at the end, movies, mean over seeds", "adapted weight, query and value by layer", "rank",
         drawn, log_x=False)
    blocks["says"] = "\n".join(says)
    return blocks, claims
