# SPDX-License-Identifier: Apache-2.0
"""5. Weights that are not of full rank: cut ones, and those that are there."""

from __future__ import annotations

import json

from grid import ADAPTERS, Results
from measures import area, ratios, score
from pages import plot, table
from settings import LABELS, Settings

from .common import better, found, gain, outcome, percent, sentences, tuned, values

SHARES = (1.0, 0.99, 0.9, 0.75, 0.5, 0.25)


def surveyed(results: Results) -> tuple[str, str]:
    """What survey.py found of real weights, and of shapes alone."""
    try:
        survey = json.loads((results.folder / "survey" / "weights.json").read_text())
    except FileNotFoundError:
        return "(not surveyed yet)", "(not surveyed yet)"
    weights = [[w["model"], f"`{w['kind']}`", str(w["count"]), " x ".join(map(str, w["shape"])), str(w["full"]),
                str(w["near_full"]), f"{w['least_rank']} of {min(w['shape'])}"] for w in survey["weights"]]
    shapes = [[s["model"], f"`{s['kind']}`", " x ".join(map(str, s["shape"])), s["layout"],
               "yes" if s["pre"] else "**no**", "yes" if s["post"] else "**no**"] for s in survey["shapes"]]
    return (table(["model", "weights", "count", "out x in", "of full rank", "within 99 %", "least rank"], weights),
            table(["architecture", "weight", "out x in", "stored", "Pre may reach every target", "Post may"], shapes))


def chapter(results: Results, docs):
    rows, says, claims, drawn = [], [], [], {}
    for share in SHARES:
        head = found(results, [Settings(method="head", rate=1.2e-2, cut=share)])
        groups = {m: tuned(results, m, cut=share) for m in ADAPTERS}
        lora = groups["lora"]
        rows.append([f"{100 * share:g} %", values(head, score).text()]
                    + [values(groups[m], score).text() for m in ADAPTERS]
                    + [gain(groups[m], lora) for m in ADAPTERS[1:]]
                    + [percent(ratios(groups[m], lora, area)) for m in ADAPTERS[1:]])
        for m in ADAPTERS:
            if (i := values(groups[m], score)).count:
                drawn.setdefault(LABELS[m], []).append((100 * share, i.mean, i.low, i.high))
        for m in ADAPTERS[1:] if share <= 0.5 else ():
            what = f"At {100 * share:g} % of the rank, the accuracy of {LABELS[m]} against LoRA's"
            says.append((f"{what} ({gain(groups[m], lora)})", better(groups[m], lora)))
            claims.append([f"{LABELS[m]} needs weights near full rank: it loses to LoRA at {100 * share:g} % of it",
                           "an assumption", gain(groups[m], lora), outcome(better(groups[m], lora), -1), "deficient"])
    lowest = min((p[2] for points in drawn.values() for p in points), default=0.0)
    plot(docs / "deficient.svg", "Test accuracy over the rank that is left", "singular values kept, %",
         "test accuracy", drawn, log_x=False, from_y=lowest - 0.01)
    weights, shapes = surveyed(results)
    head = ["kept", "head alone", *(LABELS[m] for m in ADAPTERS), "LoRMA+ minus LoRA", "LoRMA_pi minus LoRA",
            "area of LoRMA+ over LoRA's", "of LoRMA_pi"]
    return {"table": table(head, rows), "weights": weights, "shapes": shapes,
            "says": sentences(says)}, claims
