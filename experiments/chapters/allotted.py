# SPDX-License-Identifier: Apache-2.0
"""7. Ranks allotted under one budget against uniform ones."""

from __future__ import annotations

from statistics import mean

from grid import Results, tuned_rate
from measures import area, ratios, score
from pages import plot, table
from settings import LABELS

from .common import at, better, gain, outcome, percent, sentences, tuned, values

METHODS = ("plus", "pi", "none")


def adalora(results: Results, task: str) -> list[dict]:
    rate = tuned_rate(results, "movies", "adalora")
    return [] if rate is None else at(results, "adalora", rate, task=task)


def chapter(results: Results, docs):
    blocks, says, claims = {}, [], []
    for task in ("movies", "gloss"):
        pairs = {LABELS[m]: (tuned(results, m, task), tuned(results, m, task, allotted=True)) for m in METHODS}
        for label, (uniform, moved) in pairs.items():
            says.append((f"{task}: the accuracy of {label} with allotted ranks against uniform ones "
                         f"({gain(moved, uniform)})", better(moved, uniform)))
            claims.append([f"question 1: allotted ranks serve {label} better than uniform ones ({task})", "open",
                           gain(moved, uniform), outcome(better(moved, uniform), 1), "allotted"])
        pairs["LoRA, AdaLoRA"] = tuned(results, "lora", task), adalora(results, task)
        rows = [[label, str(len(moved)), values(uniform, score).text(), values(moved, score).text(),
                 gain(moved, uniform), percent(ratios(moved, uniform, area))]
                for label, (uniform, moved) in pairs.items()]
        blocks[task] = table(["", "seeds", "uniform, accuracy", "allotted", "minus uniform", "area over uniform's"],
                             rows)
    drawn = {}
    for method in METHODS:
        ranks = [run["ranks"] for run in tuned(results, method, "movies", allotted=True) if "ranks" in run]
        if ranks:
            drawn[LABELS[method]] = [(i, mean(of)) for i, of in enumerate(zip(*ranks))]
    plot(docs / "allotted.svg", "Ranks at the end, movies, mean over seeds",
         "adapted weight, query and value by layer", "rank", drawn, log_x=False)
    blocks["says"] = sentences(says)
    return blocks, claims
