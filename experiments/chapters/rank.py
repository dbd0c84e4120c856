# SPDX-License-Identifier: Apache-2.0
"""3. What rank buys."""

from __future__ import annotations

from grid import ADAPTERS
from pages import plot

from .common import *

RANKS = (1, 2, 4, 8, 16, 32, 64)
WIDE = ("intermediate.dense", "output.dense")


def by_rank(results: Results, task: str, method: str) -> dict[int, list[dict]]:
    return {r: tuned(results, method, task, rank=r) for r in RANKS}


def grid_of(results: Results, task: str, of, digits: int) -> str:
    rows = []
    for r in RANKS:
        rows.append([str(r), str(768 * r)] + [values(by_rank(results, task, m)[r], of).text(digits) for m in ADAPTERS])
    return table(["r", "parameters a weight", *(LABELS[m] for m in ADAPTERS)], rows)


def chapter(results: Results, docs):
    blocks, says, claims = {}, [], []
    for task in ("movies", "gloss"):
        blocks[f"{task}_score"] = grid_of(results, task, score, 3)
        blocks[f"{task}_area"] = grid_of(results, task, area, 3)
        blocks[f"{task}_rank"] = grid_of(results, task, last("change_rank"), 0)
        drawn = {}
        for method in ADAPTERS:
            groups = by_rank(results, task, method)
            points = [(r, i.mean, i.low, i.high) for r in RANKS if (i := values(groups[r], score)).count]
            drawn[LABELS[method]] = points
            low, high = groups[1], groups[64]
            changes = differences(high, low, score)
            sign = verdict(changes, item_interval(high, low)) if changes else 0
            says.append(tell(f"{task}: the accuracy of {LABELS[method]} at r = 64 against r = 1 ({gain(high, low)})", sign))
        plot(docs / f"rank-{task}.svg", f"{task}: test accuracy over rank", "rank r of the factors", "test accuracy", drawn,
             from_y=min((p[2] for c in drawn.values() for p in c), default=0.0) - 0.01)
        one = {m: by_rank(results, task, m)[1] for m in ADAPTERS}
        changes = differences(one["pi"], one["lora"], score)
        sign = verdict(changes, item_interval(one["pi"], one["lora"])) if changes else 0
        claims.append([f"LoRMA_pi does with rank 1 what LoRA cannot ({task}, accuracy at r = 1)", "a high rank at any r",
                       gain(one["pi"], one["lora"]), outcome(sign, 1), "rank"])
    for method, there in (("lora", "8"), ("plus", "8"), ("pi", "1021 of 1024")):
        runs = tuned(results, method)
        got = values(runs, last("change_rank"))
        wanted = 384 if method == "pi" else 8
        claims.append([f"rank of the change under {LABELS[method]}, r = 8", there, f"{got.text(0)} of 384",
                       "cannot be told here" if not got.count else "holds here" if abs(got.mean - wanted) <= 4 else
                       "does not hold here", "rank"])
    wide = {LABELS[m]: tuned(results, m, targets=WIDE) for m in ADAPTERS}
    blocks["wide"] = comparison(wide, "LoRA")
    blocks["says"] = "\n".join(says)
    return blocks, claims
