# SPDX-License-Identifier: Apache-2.0
"""9. Multipliers that are kept invertible, and what that costs."""

from __future__ import annotations

from grid import GUARDS, LARGE_RATE, Results
from measures import last, score
from pages import plot, table
from settings import LABELS

from .common import Runs, at, better, curves, gain, no_worse, sentences, tuned, values


def worst(runs: Runs, of) -> str:
    """The largest over runs; null is what unmerge refuses, or a bound that proves nothing."""
    got = [of(run) for run in runs]
    return "-" if not got else "none" if None in got else f"{max(got):.1e}"


def end(key: str):
    return lambda run: run["curve"][-1].get(key)


def chapter(results: Results, docs):
    rows, says, claims, drawn = [], [], [], {}
    for method, guards in GUARDS.items():
        label = LABELS[method]
        for own in (True, False):
            groups = {guard: tuned(results, method, guard=guard) if own else
                      at(results, method, LARGE_RATE, guard=guard) for guard in ("", *guards)}
            for guard, runs in groups.items():
                rows.append([label, "own" if own else f"{LARGE_RATE:g}", guard or "none", str(len(runs)),
                             values(runs, score).text(), gain(runs, groups[""]) if guard else "",
                             worst(runs, last("condition")), worst(runs, end("condition_bound")),
                             worst(runs, lambda run: run.get("unmerge_bf16"))])
                if guard:
                    where = "at its own rate" if own else f"at the rate {LARGE_RATE:g}"
                    says.append((f"The accuracy of {label} under {guard} against none, {where} "
                                 f"({gain(runs, groups[''])})", better(runs, groups[""])))
                if not own:
                    name = f"{label}, {guard or 'none'}"
                    drawn |= {name: [p[:2] for p in curves({name: runs}, "condition_bound")[name]]}
        runs, base = tuned(results, method, guard="projection:0.9"), tuned(results, method)
        claims.append([f"question 3: {label} can be kept invertible without a loss of accuracy (projection, 0.9)",
                       "open", gain(runs, base), no_worse(runs, base, "no loss can be told here"), "guarded"])
    plot(docs / "guarded.svg", f"Bound on the condition of P, rate {LARGE_RATE:g}", "step",
         "worst layer's bound, mean over seeds", drawn, log_x=False, log_y=True)
    head = ["", "rate", "guard", "seeds", "test accuracy", "minus none's", "worst condition of P at the end",
            "worst bound at the end", "bf16 weight merged and unmerged, worst relative change"]
    return {"table": table(head, rows), "says": sentences(says)}, claims
