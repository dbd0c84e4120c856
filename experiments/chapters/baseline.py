# SPDX-License-Identifier: Apache-2.0
"""1. Six methods, each with its own rate and at the paper's one."""

from __future__ import annotations

from grid import ADAPTERS, PAPER_RATE, SWEPT_ELSEWHERE, rates
from pages import plot

from .common import *

METHODS = ("head", "lora", "plus", "pi", "none", "full")


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
            row.append(f"**{text}**" if rate == chosen else text)
        rows.append(row)
    return table(["", *("rate: dev loss, area" for _ in range(5))], rows) + "\n**Bold**: the rate chosen, by the dev loss.\n"


def frozen_head(results: Results, method: str) -> list[dict]:
    """The rate of least dev loss among the runs whose head was trained before and stays."""
    groups = [runs for rate in SWEPT_ELSEWHERE if len(runs := at(results, method, rate, head="frozen")) == len(SEEDS)]
    return min(groups, key=lambda runs: mean(run["dev"]["loss"] for run in runs), default=[])


def heads(results: Results) -> str:
    """What the head's start alone does to the first 40 steps."""
    rows = []
    for method in ("lora", "pi"):
        runs = found(results, [Settings(method=method, rate=PAPER_RATE)] + [
            Settings(method=method, rate=PAPER_RATE, head_seed=seed) for seed in (11, 12, 13, 14)])
        areas = [early(run) for run in runs]
        if areas:
            rows.append([LABELS[method], str(len(areas)), f"{mean(areas):.3f}", f"{min(areas):.3f} to {max(areas):.3f}",
                         f"{100 * (max(areas) - min(areas)) / mean(areas):.0f} %"])
    return table(["", "heads", "area of the first 40 steps, mean", "range", "range over mean"], rows)


def chapter(results: Results, docs):
    own = {LABELS[m]: tuned(results, m) for m in METHODS}
    paper = {LABELS[m]: at(results, m, PAPER_RATE) for m in METHODS}
    frozen = {LABELS[m]: frozen_head(results, m) for m in ADAPTERS}
    frozen_paper = {LABELS[m]: at(results, m, PAPER_RATE, head="frozen") for m in ADAPTERS}
    plot(docs / "baseline-own.svg", "Loss, each method at its own rate", "step", "training loss, mean of ten steps", curves(own),
         log_x=False)
    plot(docs / "baseline-paper.svg", "Loss, all at the paper's rate", "step", "training loss, mean of ten steps",
         curves(paper), log_x=False)
    plot(docs / "baseline-frozen.svg", "Loss over a head that stays", "step", "training loss, mean of ten steps", curves(frozen),
         log_x=False)
    says, claims = [], []
    for method, there in (("plus", "-23 % on CoLA, -11 % on SST-2"), ("pi", "-52 % on CoLA, -30 % on SST-2")):
        label = LABELS[method]
        signs = {}
        for what, groups in (("each at its own rate", own), ("at one rate, the paper's", paper), ("over the same frozen head", frozen)):
            changes = ratios(groups[label], groups["LoRA"], area)
            signs[what] = verdict(changes)
            says.append(tell(f"The area under {label}'s loss curve against LoRA's, {what} ({percent(changes, 1)})", signs[what]))
        for what in ("at one rate, the paper's", "each at its own rate", "over the same frozen head"):
            groups = {"at one rate, the paper's": paper, "each at its own rate": own}.get(what, frozen)
            claims.append([f"{label} converges faster than LoRA: {what}", there, percent(ratios(groups[label], groups["LoRA"], area)),
                           outcome(signs[what], -1), "baseline"])
    for method in ("plus", "pi"):
        label = LABELS[method]
        changes = differences(own[label], own["LoRA"], score)
        sign = verdict(changes, item_interval(own[label], own["LoRA"])) if changes else 0
        claims.append([f"{label} is as accurate as LoRA (own rates)", {"plus": "86.0 and 85.9", "pi": "85.6 and 85.9"}[method],
                       gain(own[label], own["LoRA"]), "does not hold here" if sign else
                       "no difference can be told here" if len(changes) >= 3 else "cannot be told here", "baseline"])
        says.append(tell(f"The test accuracy of {label} against LoRA's, each at its own rate ({gain(own[label], own['LoRA'])})", sign))
    return {"own": comparison(own, "LoRA"), "paper": comparison(paper, "LoRA"), "sweeps": sweeps(results),
            "frozen": comparison(frozen, "LoRA"), "frozen_paper": comparison(frozen_paper, "LoRA"), "heads": heads(results),
            "says": "\n".join(says)}, claims
