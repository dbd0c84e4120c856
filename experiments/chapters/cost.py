# SPDX-License-Identifier: Apache-2.0
"""6. What a step costs."""

from __future__ import annotations

import json

from grid import Results
from pages import number, table

MIB = 2.0 ** 20
CLAIM = ["associativity, P (W0 x), reduces time and memory traffic", "an argument, no figure"]
FIRST, SECOND = "LoRMA+: P (W0 x)", "LoRMA+: (P W0) x, P by its factors"


def listed(cases) -> str:
    return ", ".join(f"n {n} with {tokens} tokens" for n, tokens in cases) or "none"


def chapter(results: Results, docs):
    try:
        measured = json.loads((results.folder / "cost" / "cost.json").read_text())
    except FileNotFoundError:
        waiting = "(not measured yet: `experiments/run.sh cost`, on a machine with nothing else to do)"
        return ({"layers": waiting, "steps": waiting, "setup": "", "says": "- Nothing yet."},
                [[*CLAIM, "-", "cannot be told here", "cost"]])
    cases: dict[tuple, dict] = {}
    for row in measured["layers"]:
        cases.setdefault((row["n"], row["tokens"]), {})[row["name"]] = row
    rows = [[name] + [f"{number(of[name]['ms'])}, {number(of[name]['bytes'] / MIB)}" for of in cases.values()]
            for name in next(iter(cases.values()))]
    steps = [[row["name"], f"{row['ms']:.0f}", f"{row['ratio']:.2f}", number(row["bytes"] / MIB),
              f"{row['peak_mib']:.0f}", "-" if row["cache_misses"] is None else f"{row['cache_misses']:.3g}"]
             for row in measured["steps"]]
    faster, leaner = ([case for case, of in cases.items() if of[FIRST][key] < of[SECOND][key]]
                      for key in ("ms", "bytes"))
    says = [f"- P (W0 x) moves fewer bytes than (P W0) x, P by its factors, in {len(leaner)} of {len(cases)} cases: "
            f"{listed(leaner)}.", f"- It is faster in {len(faster)}: {listed(faster)}."]
    by_name = {row["name"]: row for row in measured["steps"]}
    for name in ("LoRMA+", "LoRMA_pi"):
        ours, theirs = by_name[name], by_name[f"published {name}"]
        says.append(f"- A step of the model with {name} takes {theirs['ms'] / ours['ms']:.2f} times as long by the "
                    f"authors' layer, which moves {theirs['bytes'] / ours['bytes']:.2f} times the bytes.")
    said = ("holds here" if len(faster) == len(leaner) == len(cases) else
            "does not hold here" if not faster and not leaner else "depends on the sizes")
    here = f"time in {len(faster)}, bytes in {len(leaner)} of {len(cases)} cases"
    layers = table(["forward and backward: ms, MiB", *(f"n {n}, {tokens} tokens" for n, tokens in cases)], rows)
    head = ["a step of the model", "ms", "over LoRA's", "MiB read and written", "peak MiB above the model",
            "cache misses"]
    setup = f"torch {measured['torch']}, {measured['threads']} thread, medians of {measured['rounds']} rounds in turn."
    return ({"layers": layers, "steps": table(head, steps), "setup": setup, "says": "\n".join(says)},
            [[*CLAIM, here, said, "cost"]])
