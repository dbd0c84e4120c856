# SPDX-License-Identifier: Apache-2.0
"""1. Six methods, each with its own rate and at the paper's one."""

from __future__ import annotations

from statistics import mean

from grid import ADAPTERS, PAPER_RATE, SEEDS, Results, frozen_sweep, rates, tuned_rate
from measures import area, ratios, verdict
from pages import plot, table
from settings import LABELS, Settings

from .common import (at, best_of, better, comparison, curves, found, gain, no_worse, outcome, percent, sentences, tuned,
                     values)

METHODS = ("head", "lora", "plus", "pi", "none", "full")
HEADS = (11, 12, 13, 14)  #: other starts of the head
#: The paper's, of the area under the loss curve and of GLUE's average.
AREAS = {"plus": "-23 % on CoLA, -11 % on SST-2", "pi": "-52 % on CoLA, -30 % on SST-2"}
AVERAGES = {"plus": "86.0, LoRA 85.9", "pi": "85.6, LoRA 85.9"}
LOSS = ("step", "training loss, mean of ten steps")


def early(run: dict) -> float:
    """The area of the first 40 steps."""
    return mean(p["loss"] for p in run["curve"][:4])


def sweeps(results: Results) -> str:
    rows = []
    for method in METHODS:
        row, chosen = [LABELS[method]], tuned_rate(results, "movies", method)
        for rate in rates(method):
            runs = at(results, method, rate)
            loss = values(runs, lambda run: run["dev"]["loss"])
            text = f"{rate:g}: {loss.mean:.3f}, {values(runs, area).mean:.3f}" if runs else f"{rate:g}: -"
            if 0 < len(runs) < len(SEEDS):
                text += f" ({len(runs)} of {len(SEEDS)} seeds)"
            row.append(f"**{text}**" if rate == chosen else text)
        rows.append(row)
    return table(["", *("rate: dev loss, area" for _ in range(5))], rows) + "\n**Bold**: the rate chosen.\n"


def heads(results: Results) -> str:
    """What the head's start alone does to the first 40 steps."""
    rows = []
    for method in ("lora", "pi"):
        one = Settings(method=method, rate=PAPER_RATE)
        others = [Settings(method=method, rate=PAPER_RATE, head_seed=seed) for seed in HEADS]
        areas = [early(run) for run in found(results, [one, *others])]
        if areas:
            low, high = min(areas), max(areas)
            rows.append([LABELS[method], str(len(areas)), f"{mean(areas):.3f}", f"{low:.3f} to {high:.3f}",
                         f"{100 * (high - low) / mean(areas):.1f} %"])
    return table(["", "heads", "area of the first 40 steps, mean", "range", "range over mean"], rows)


def chapter(results: Results, docs):
    own = {LABELS[m]: tuned(results, m) for m in METHODS}
    paper = {LABELS[m]: at(results, m, PAPER_RATE) for m in METHODS}
    frozen = {LABELS[m]: best_of(results, frozen_sweep(results, m)) for m in ADAPTERS}
    frozen_paper = {LABELS[m]: at(results, m, PAPER_RATE, head="frozen") for m in ADAPTERS}
    plot(docs / "baseline-own.svg", "Loss, each method at its own rate", *LOSS, curves(own), log_x=False)
    plot(docs / "baseline-paper.svg", "Loss, all at the paper's rate", *LOSS, curves(paper), log_x=False)
    plot(docs / "baseline-frozen.svg", "Loss over a head that stays", *LOSS, curves(frozen), log_x=False)
    says, claims = [], []
    for method in ADAPTERS[1:]:
        label = LABELS[method]
        for what, groups in (("at one rate, the paper's", paper), ("each at its own rate", own),
                             ("over the same frozen head, each at its own rate", frozen)):
            less = ratios(groups[label], groups["LoRA"], area)
            says.append((f"The area under {label}'s loss curve against LoRA's, {what} ({percent(less)})",
                         verdict(less)))
            claims.append([f"{label} converges faster than LoRA, {what} (area)", AREAS[method], percent(less),
                           outcome(verdict(less), -1), "baseline"])
        runs, base = own[label], own["LoRA"]
        says.append((f"The test accuracy of {label} against LoRA's, each at its own rate ({gain(runs, base)})",
                     better(runs, base)))
        claims.append([f"{label} is as accurate as LoRA, each at its own rate", AVERAGES[method], gain(runs, base),
                       no_worse(runs, base, "no difference for the worse can be told here"), "baseline"])
    return {"own": comparison(own, "LoRA"), "paper": comparison(paper, "LoRA"), "sweeps": sweeps(results),
            "frozen": comparison(frozen, "LoRA"), "frozen_paper": comparison(frozen_paper, "LoRA"),
            "heads": heads(results), "says": sentences(says)}, claims
