# SPDX-License-Identifier: Apache-2.0
"""5. Weights that are not of full rank: cut ones, and those that are there."""

from __future__ import annotations

import json

from grid import ADAPTERS
from pages import plot

from .common import *

SHARES = (1.0, 0.99, 0.9, 0.75, 0.5, 0.25)


def cut_runs(results: Results, method: str, share: float) -> list[dict]:
    return tuned(results, method, cut=share)


def surveyed(results: Results) -> tuple[str, str]:
    """What survey.py found of real weights, and of shapes alone."""
    try:
        survey = json.loads((results.folder / "survey" / "weights.json").read_text())
    except FileNotFoundError:
        return "(not surveyed yet)", "(not surveyed yet)"
    weights = [[w["model"], w["kind"], str(w["count"]), " x ".join(map(str, w["shape"])), str(w["full"]), str(w["near_full"]),
                f"{w['least_rank']} of {min(w['shape'])}"] for w in survey["weights"]]
    shapes = [[s["model"], s["kind"], " x ".join(map(str, s["shape"])), s["layout"], "yes" if s["pre"] else "**no**",
               "yes" if s["post"] else "**no**"] for s in survey["shapes"]]
    return (table(["model", "weights", "count", "out x in", "of full rank", "within 99 %", "least rank"], weights),
            table(["architecture", "weight", "out x in", "stored", "LoRMA Pre reaches every target", "LoRMA Post does"], shapes))


def chapter(results: Results, docs):
    rows, says, claims, drawn = [], [], [], {}
    for share in SHARES:
        head = found(results, [Settings(method="head", rate=1.2e-2, cut=share)])
        groups = {m: cut_runs(results, m, share) for m in ADAPTERS}
        rows.append([f"{100 * share:.0f} %", values(head, score).text()] + [values(groups[m], score).text() for m in ADAPTERS]
                    + [gain(groups[m], groups["lora"]) for m in ADAPTERS[1:]]
                    + [percent(ratios(groups[m], groups["lora"], area)) for m in ADAPTERS[1:]])
        for m in ADAPTERS:
            if (i := values(groups[m], score)).count:
                drawn.setdefault(LABELS[m], []).append((100 * share, i.mean, i.low, i.high))
    for m in ADAPTERS[1:]:
        for share in (0.5, 0.25):
            runs, base = cut_runs(results, m, share), cut_runs(results, "lora", share)
            changes = differences(runs, base, score)
            sign = verdict(changes, item_interval(runs, base)) if changes else 0
            says.append(tell(f"At {100 * share:.0f} % of the rank, the accuracy of {LABELS[m]} against LoRA's ({gain(runs, base)})", sign))
            claims.append([f"{LABELS[m]} needs weights near full rank (accuracy against LoRA's at {100 * share:.0f} % of the rank)",
                           "an assumption", gain(runs, base), outcome(sign, -1), "deficient"])
    if drawn:
        plot(docs / "deficient.svg", "Test accuracy over the rank that is left", "singular values kept, %", "test accuracy",
             drawn, log_x=False, from_y=min(p[2] for c in drawn.values() for p in c) - 0.01)
    weights, shapes = surveyed(results)
    minus = "minus LoRA's: LoRMA+"
    return {"table": table(["kept", "head alone", *(LABELS[m] for m in ADAPTERS), minus, "LoRMA_pi", "area over LoRA's: LoRMA+",
                            "LoRMA_pi"], rows) + "\n" + BOLD, "weights": weights, "shapes": shapes, "says": "\n".join(says)}, claims
