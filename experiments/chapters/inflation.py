# SPDX-License-Identifier: Apache-2.0
"""2. Does a multiplier without inflation collapse?"""

from __future__ import annotations

from statistics import mean

from grid import Results, swept_rates
from measures import area, interval, last, score, verdict
from pages import plot, table
from settings import LABELS

from .baseline import LOSS
from .common import at, better, curves, gain, outcome, signed, sentences, tuned, values

TASKS = ("movies", "pairs", "gloss")
HEAD_RATE = 1.2e-2


def rows_of(results: Results, task: str) -> list[list[str]]:
    rows = []
    for method in ("head", "none", "plus"):
        for rate in (HEAD_RATE,) if method == "head" else swept_rates(results, task, method):
            runs = at(results, method, rate, task=task)
            if runs:
                majority, commonest = (mean(r["test"][key] for r in runs) for key in ("majority", "commonest_answer"))
                rows.append([task, LABELS[method], f"{rate:g}", str(len(runs)), values(runs, score).text(),
                             values(runs, lambda run: run["test"].get("f1")).text(), f"{majority:.3f}",
                             f"{commonest:.3f}", values(runs, area).text(),
                             values(runs, last("change_effective_rank")).text(0),
                             values(runs, last("distance")).text(2)])
    return rows


def chapter(results: Results, docs):
    rows, says, claims = [], [], []
    for task in TASKS:
        rows += rows_of(results, task)
        none, plus = tuned(results, "none", task), tuned(results, "plus", task)
        says.append((f"On {task} the test accuracy of None against LoRMA+'s, each at its own rate "
                     f"({gain(none, plus)})", better(none, plus)))
        above = [score(run) - run["test"]["majority"] for run in none]
        sign = verdict(above)
        said = "does not hold here" if sign > 0 else "holds here" if sign < 0 else "cannot be told here"
        claims.append([f"without inflation training ends at the majority class ({task})",
                       "MRPC 81.2, RTE 52.7: it does",
                       f"accuracy {signed(interval(above), 3)} over it" if above else "-", said, "inflation"])
        claims.append([f"without inflation accuracy is lower than LoRMA+'s ({task})", "by far", gain(none, plus),
                       outcome(better(none, plus), -1), "inflation"])
    plot(docs / "inflation-movies.svg", "movies, each at its own rate", *LOSS,
         curves({LABELS[m]: tuned(results, m) for m in ("head", "none", "plus")}), log_x=False)
    plot(docs / "inflation-gloss.svg", "gloss, each at its own rate", *LOSS,
         curves({LABELS[m]: tuned(results, m, "gloss") for m in ("none", "plus")}), log_x=False)
    head = ["task", "", "rate", "seeds", "test accuracy", "F1", "majority class", "commonest answer",
            "area under the loss curve", "effective rank of the change", "distance from W0, relative"]
    return {"table": table(head, rows), "says": sentences(says)}, claims
