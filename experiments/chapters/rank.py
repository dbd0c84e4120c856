# SPDX-License-Identifier: Apache-2.0
"""3. What rank buys."""

from __future__ import annotations

from grid import ADAPTERS, Results, wide_sweep
from measures import area, last, score
from pages import plot, table
from settings import LABELS

from .common import best_of, better, comparison, gain, outcome, sentences, tuned, values

RANKS = (1, 2, 4, 8, 16, 32, 64)
#: The paper's rank of the change at r = 8, of 1024; what it is for r = 8 and 384.
CHANGES = {"lora": ("8", 8), "plus": ("8", 8), "pi": ("1021 of 1024", 384)}


def by_rank(results: Results, task: str, method: str) -> dict[int, list[dict]]:
    return {r: tuned(results, method, task, rank=r) for r in RANKS}


def grid_of(results: Results, task: str, of, digits: int) -> str:
    rows = [[str(r), str(768 * r)] + [values(by_rank(results, task, m)[r], of).text(digits) for m in ADAPTERS]
            for r in RANKS]
    return table(["r", "parameters a weight", *(LABELS[m] for m in ADAPTERS)], rows)


def chapter(results: Results, docs):
    blocks, says, claims = {}, [], []
    for task in ("movies", "gloss"):
        for name, of, digits in (("score", score, 3), ("area", area, 3), ("rank", last("change_rank"), 0)):
            blocks[f"{task}_{name}"] = grid_of(results, task, of, digits)
        drawn = {}
        for method in ADAPTERS:
            groups = by_rank(results, task, method)
            drawn[LABELS[method]] = [(r, i.mean, i.low, i.high) for r in RANKS if (i := values(groups[r], score)).count]
            says.append((f"{task}: the accuracy of {LABELS[method]} at r = 64 against r = 1 "
                         f"({gain(groups[64], groups[1])})", better(groups[64], groups[1])))
        lowest = min((p[2] for points in drawn.values() for p in points), default=0.0)
        plot(docs / f"rank-{task}.svg", f"{task}: test accuracy over rank", "rank r of the factors", "test accuracy",
             drawn, from_y=lowest - 0.01)
        pi, lora = (by_rank(results, task, m)[1] for m in ("pi", "lora"))
        claims.append([f"LoRMA_pi does better than LoRA with rank 1 ({task})", "a high rank whatever r is",
                       gain(pi, lora), outcome(better(pi, lora), 1), "rank"])
    for method, (there, wanted) in CHANGES.items():
        got = values(tuned(results, method), last("change_rank"))
        said = "cannot be told here" if not got.count else "holds here" if abs(got.mean - wanted) <= 4 else \
            "does not hold here"
        claims.append([f"rank of the change by {LABELS[method]}, r = 8", there, f"{got.text(0)} of 384", said, "rank"])
    wide = {m: best_of(results, wide_sweep(results, m)) for m in ADAPTERS}
    blocks["wide"] = comparison({LABELS[m]: runs for m, runs in wide.items()}, "LoRA")
    for m in ("plus", "pi"):
        says.append((f"The feed-forward layers, at equal parameters: the accuracy of {LABELS[m]} against LoRA's "
                     f"({gain(wide[m], wide['lora'])})", better(wide[m], wide["lora"])))
    blocks["says"] = sentences(says)
    return blocks, claims
