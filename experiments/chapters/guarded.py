# SPDX-License-Identifier: Apache-2.0
"""9. Multipliers that are kept invertible, and what that costs."""

from __future__ import annotations

from grid import RATES
from pages import plot

from .common import *

GUARDS = {"plus": ("", "projection:0.5", "projection:0.9", "barrier:0.001"), "pi": ("", "projection:0.9")}


def unmerge(run: dict):
    return run.get("unmerge_bf16")


def exponent(runs: Runs, of) -> str:
    got = [of(run) for run in runs]
    if not got:
        return "-"
    return "refused" if None in got else f"{max(got):.1e}"


def chapter(results: Results, docs):
    rows, says, claims, drawn = [], [], [], {}
    for method, guards in GUARDS.items():
        for own in (True, False):
            groups = {g: tuned(results, method, guard=g) if own else at(results, method, RATES[-1], guard=g) for g in guards}
            for guard, runs in groups.items():
                rows.append([LABELS[method], "own" if own else f"{RATES[-1]:g}", guard or "none", str(len(runs)),
                             values(runs, score).text(), "" if not guard else gain(runs, groups[""]),
                             exponent(runs, last("condition")), exponent(runs, last("condition_bound")), exponent(runs, unmerge)])
                if guard:
                    changes = differences(runs, groups[""], score)
                    sign = verdict(changes, item_interval(runs, groups[""])) if changes else 0
                    where = "at its own rate" if own else f"at the rate {RATES[-1]:g}"
                    says.append(tell(f"The accuracy of {LABELS[method]} under {guard} against none, {where} ({gain(runs, groups[''])})", sign))
                if not own:
                    for label, points in curves({f"{LABELS[method]}, {guard or 'none'}": runs}, "condition_bound").items():
                        drawn[label] = [p[:2] for p in points]
    plot(docs / "guarded.svg", f"Bound on the condition of P, rate {RATES[-1]:g}", "step", "worst layer's bound, mean over seeds",
         drawn, log_x=False, log_y=True)
    for method, guard in (("plus", "projection:0.9"), ("pi", "projection:0.9")):
        runs, base = tuned(results, method, guard=guard), tuned(results, method)
        changes = differences(runs, base, score)
        sign = verdict(changes, item_interval(runs, base)) if changes else 0
        claims.append([f"question 3: {LABELS[method]} can be kept invertible without a loss of accuracy ({guard})", "open",
                       gain(runs, base), "cannot be told here" if len(changes) < 3 else "does not hold here" if sign < 0 else
                       "no loss can be told here", "guarded"])
    head = ["", "rate", "guard", "seeds", "test accuracy", "minus none's", "worst condition of P at the end", "worst bound followed",
            "bf16 weight merged and unmerged, worst relative change"]
    return {"table": table(head, rows) + "\n" + BOLD, "says": "\n".join(says)}, claims
