# SPDX-License-Identifier: Apache-2.0
"""2. Does a multiplier without inflation collapse?"""

from __future__ import annotations

from grid import PAPER_RATE, RATES
from pages import plot

from .common import *

TASKS = ("movies", "pairs", "gloss")


def ends(run: dict) -> str:
    test = run["test"]
    return (f"{test['accuracy']:.3f}" if test["accuracy"] is not None else "-")


def chapter(results: Results, docs):
    rows, says, claims = [], [], []
    worst = {}
    for task in TASKS:
        for method in ("head", "none", "plus"):
            for rate in (RATES if task == "movies" else (4e-4, 1.2e-3, 4e-3, 1.2e-2)):
                runs = at(results, method, rate, task=task)
                if not runs or (method == "head" and rate != 1.2e-2):
                    continue
                majority, commonest = (mean(run["test"][key] for run in runs) for key in ("majority", "commonest_answer"))
                rows.append([task, LABELS[method], f"{rate:g}", str(len(runs)), values(runs, score).text(), f"{majority:.3f}",
                             f"{commonest:.3f}", values(runs, area).text(), values(runs, last("change_effective_rank")).text(0),
                             values(runs, last("distance")).text(2)])
        own = {method: tuned(results, method, task) for method in ("none", "plus")}
        changes = differences(own["none"], own["plus"], score)
        sign = verdict(changes, item_interval(own["none"], own["plus"])) if changes else 0
        says.append(tell(f"On {task} the test accuracy of None against LoRMA+'s, each at its own rate "
                         f"({gain(own['none'], own['plus'])})", sign))
        above = [score(run) - run["test"]["majority"] for run in own["none"]]
        worst[task] = (above, verdict(above), changes, sign)
    for task, (above, sign, changes, _) in worst.items():
        text = f"{signed(interval(above), 3)} over the majority class" if above else "-"
        claims.append([f"without inflation training ends at the majority class ({task})",
                       "MRPC 81.2 (F1), RTE 52.7: the majority class", text,
                       "cannot be told here" if len(above) < 3 else "does not hold here" if sign > 0 else "holds here" if sign < 0 else
                       "cannot be told here", "inflation"])
    plot(docs / "inflation-movies.svg", "movies, each at its own rate", "step", "training loss, mean of ten steps",
         curves({LABELS[m]: tuned(results, m) for m in ("head", "none", "plus")}), log_x=False)
    plot(docs / "inflation-gloss.svg", "gloss, each at its own rate", "step", "training loss, mean of ten steps",
         curves({LABELS[m]: tuned(results, m, "gloss") for m in ("none", "plus")}), log_x=False)
    head = ["task", "", "rate", "seeds", "test accuracy", "majority class", "commonest answer", "area under the loss curve",
            "effective rank of the change", "distance from W0, relative"]
    return {"table": table(head, rows), "says": "\n".join(says)}, claims
