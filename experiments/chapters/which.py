# SPDX-License-Identifier: Apache-2.0
"""8. Can the winner be known before?"""

from __future__ import annotations

import json
import math

from grid import ADAPTERS, OTHER_TASKS, SAMPLES
from measures import spearman

from .common import *

CASES = [("movies", 0), ("gloss", 0), *((task, 0) for task in OTHER_TASKS), *(("movies", samples) for samples in SAMPLES)]
FEATURES = {"examples": "examples to learn from", "gradient_norm": "norm of the weights' gradient",
            "gradient_effective_rank": "effective rank of the gradient", "gradient_share_1": "share of the gradient within rank 1",
            "gradient_share_8": "share of the gradient within rank 8",
            "multiplier_share_8": "share of the multiplier's gradient within rank 8"}


def runs_of(results: Results, method: str, task: str, samples: int) -> list[dict]:
    swept = None if task in ("movies", "gloss") and not samples else "movies"
    return tuned(results, method, task, swept=swept, samples=samples)


def stump_errors(x: list[float], won: list[bool]) -> tuple[int, int]:
    """Errors in leaving one out: of the best single threshold, and of always naming the commoner winner."""
    def threshold(points):
        values = sorted({v for v, _ in points})
        cuts = [-math.inf] + [(a + b) / 2 for a, b in zip(values, values[1:])]
        return min(((sum((v > cut) != (w == above) for v, w in points), cut, above) for cut in cuts for above in (True, False)),
                   key=lambda c: c[0])[1:]

    wrong = constant = 0
    for i, (value, winner) in enumerate(zip(x, won)):
        rest = [(v, w) for j, (v, w) in enumerate(zip(x, won)) if j != i]
        cut, above = threshold(rest)
        wrong += ((value > cut) == above) != winner
        constant += (sum(w for _, w in rest) * 2 > len(rest)) != winner
    return wrong, constant


def chapter(results: Results, docs):
    rows, cases = [], []
    for task, samples in CASES:
        groups = {m: runs_of(results, m, task, samples) for m in ADAPTERS}
        name = f"{task}, {samples} examples" if samples else task
        changes = {m: differences(groups[m], groups["lora"], score) for m in ("plus", "pi")}
        rows.append([name] + [values(groups[m], score).text() for m in ADAPTERS]
                    + [gain(groups[m], groups["lora"]) for m in ("plus", "pi")] + [gain(groups["pi"], groups["plus"])])
        path = results.folder / "probe" / f"{task}-{samples}.json"
        if changes["pi"] and path.is_file():
            between = differences(groups["pi"], groups["plus"], score)
            cases.append((json.loads(path.read_text()), mean(between) if between else None))
    cases = [(p, d) for p, d in cases if d is not None]
    rules, says = [], []
    for key, label in FEATURES.items():
        x, y = [p[key] for p, _ in cases], [d for _, d in cases]
        if len(cases) < 5 or len(set(x)) < 2:
            rules.append([label, "-", "-", "-"])
            continue
        wrong, constant = stump_errors(x, [d > 0 for d in y])
        rules.append([label, signed(spearman(x, y), 2), f"{wrong} of {len(x)}", f"{constant} of {len(x)}"])
        if wrong < constant:
            says.append(f"- A threshold on {label} errs {wrong} times of {len(x)}, always naming the commoner winner {constant} times. "
                        f"It is one of {len(FEATURES)} features that were tried.")
    if len(cases) >= 5 and not says:
        says.append("- No feature names the winner of LoRMA+ and LoRMA_pi better than always naming the commoner one.")
    head = ["task", *(LABELS[m] for m in ADAPTERS), "LoRMA+ minus LoRA", "LoRMA_pi minus LoRA", "LoRMA_pi minus LoRMA+"]
    claims = [["question 2: which of the two inflations wins can be known before", "open", f"{len(cases)} cases",
               "cannot be told here" if len(cases) < 5 else "no rule found" if says[0].startswith("- No") else "a weak rule, see there",
               "which"]]
    return {"table": table(head, rows) + "\n" + BOLD,
            "rules": table(["feature, known before", "rank correlation with LoRMA_pi minus LoRMA+", "errors of a threshold, leaving one out",
                            "errors of always naming the commoner"], rules), "says": "\n".join(says) or "- Too few cases yet."}, claims
