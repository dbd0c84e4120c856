# SPDX-License-Identifier: Apache-2.0
"""10. Post, and other targets."""

from __future__ import annotations

from grid import ADAPTERS, WIDE, Results, wide_sweep
from measures import area, ratios, score
from pages import table
from settings import LABELS

from .common import best_of, better, gain, outcome, percent, sentences, tuned, values

TARGETS = {"query": ("query",), "query, value": ("query", "value"),
           "query, key, value, output": ("query", "key", "value", "attention.output.dense"), "feed-forward": WIDE}


def chapter(results: Results, docs):
    sides, says, claims = [], [], []
    for method in ADAPTERS[1:]:
        label, pre, post = LABELS[method], tuned(results, method), tuned(results, method, side="post")
        sides.append([label, values(pre, score).text(), values(post, score).text(), gain(post, pre),
                      percent(ratios(post, pre, area))])
        says.append((f"The accuracy of {label} Post against Pre ({gain(post, pre)})", better(post, pre)))
        claims.append([f"{label}: Pre is better than Post", "Table 7", gain(post, pre), outcome(better(post, pre), -1),
                       "sides"])
    rows = []
    for label, targets in TARGETS.items():
        groups = [best_of(results, wide_sweep(results, m)) if targets == WIDE else tuned(results, m, targets=targets)
                  for m in ADAPTERS]
        count = next((f"{run['parameters']:,}" for runs in groups for run in runs), "-")
        rows.append([label, count] + [values(runs, score).text() for runs in groups]
                    + [gain(runs, groups[0]) for runs in groups[1:]])
    head = ["weights adapted", "parameters", *(LABELS[m] for m in ADAPTERS), "LoRMA+ minus LoRA", "LoRMA_pi minus LoRA"]
    return {"sides": table(["", "Pre, accuracy", "Post", "Post minus Pre", "area over Pre's"], sides),
            "targets": table(head, rows), "says": sentences(says)}, claims
