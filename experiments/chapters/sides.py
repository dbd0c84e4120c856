# SPDX-License-Identifier: Apache-2.0
"""10. Post, and other targets."""

from __future__ import annotations

from grid import ADAPTERS

from .common import *
from .rank import WIDE

TARGETS = {"query": ("query",), "query, value": ("query", "value"),
           "query, key, value, output": ("query", "key", "value", "attention.output.dense"), "feed-forward": WIDE}


def chapter(results: Results, docs):
    sides, says, claims = [], [], []
    for method in ("plus", "pi"):
        pre, post = tuned(results, method), tuned(results, method, side="post")
        sides.append([LABELS[method], values(pre, score).text(), values(post, score).text(), gain(post, pre),
                      percent(ratios(post, pre, area))])
        changes = differences(post, pre, score)
        sign = verdict(changes, item_interval(post, pre)) if changes else 0
        says.append(tell(f"The accuracy of {LABELS[method]} Post against Pre ({gain(post, pre)})", sign))
        claims.append([f"{LABELS[method]}: Pre is better than Post", "Table 7", gain(post, pre), outcome(sign, -1), "sides"])
    rows = []
    for label, targets in TARGETS.items():
        groups = {m: tuned(results, m, targets=targets) for m in ADAPTERS}
        one = next((run for runs in groups.values() for run in runs), None)
        rows.append([label, f"{one['parameters']:,}" if one else "-"] + [values(groups[m], score).text() for m in ADAPTERS]
                    + [gain(groups[m], groups["lora"]) for m in ADAPTERS[1:]])
    return {"sides": table(["", "Pre, accuracy", "Post", "Post minus Pre", "area over Pre's"], sides) + "\n" + BOLD,
            "targets": table(["weights adapted", "parameters", *(LABELS[m] for m in ADAPTERS), "LoRMA+ minus LoRA's",
                              "LoRMA_pi minus LoRA's"], rows), "says": "\n".join(says)}, claims
