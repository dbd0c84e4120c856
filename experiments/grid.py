# SPDX-License-Identifier: Apache-2.0
"""The experiments: which runs each needs. An experiment is a function of the results so far, because some take
the learning rates that an earlier one chose; what cannot be known yet is asked for later."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean
from typing import Iterator, Optional

from settings import Settings

SEEDS = (1, 2, 3)
MORE_SEEDS = (4, 5, 6)  #: of the adapters of the first experiment, once rates are chosen
RATES = (4e-4, 1.2e-3, 4e-3, 1.2e-2, 4e-2)  #: 4e-4 is the paper's one rate
FULL_RATES = (1.5e-5, 5e-5, 1.5e-4, 4e-4, 1.2e-3)
PAPER_RATE = 4e-4
LARGE_RATE = 1.2e-2  #: where multipliers go far
ADAPTERS = ("lora", "plus", "pi")
WIDE = ("intermediate.dense", "output.dense")  #: the feed-forward layers


class Results:
    """The files of a folder, by name. A name that is not there yet is looked for again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, dict] = {}

    def of(self, settings: Settings) -> Optional[dict]:
        return self.named(settings.name)

    def named(self, name: str) -> Optional[dict]:
        if name not in self.known:
            try:
                self.known[name] = json.loads((self.folder / f"{name}.json").read_text())
            except FileNotFoundError:
                return None
        return self.known[name]

    def all(self) -> list[dict]:
        """Every run of the folder."""
        return [self.named(path.stem) for path in sorted(self.folder.glob("*.json"))]


def rates(method: str) -> tuple[float, ...]:
    return FULL_RATES if method == "full" else RATES


def swept_rates(results: Results, task: str, method: str) -> tuple[float, ...]:
    """All five on movies; elsewhere the three about what movies chose, none before. AdaLoRA takes LoRA's."""
    if task == "movies" and method != "adalora":
        return rates(method)
    chosen = tuned_rate(results, "movies", "lora" if method == "adalora" else method)
    if chosen is None:
        return ()
    low = min(max(rates(method).index(chosen) - 1, 0), len(rates(method)) - 3)
    return rates(method)[low:low + 3]


def sweep(results: Results, task: str, method: str) -> list[Settings]:
    """The runs among which the learning rate of a method on a task is chosen."""
    return [Settings(task=task, method=method, rate=rate, seed=seed)
            for rate in swept_rates(results, task, method) for seed in SEEDS]


def tuned_rate(results: Results, task: str, method: str) -> Optional[float]:
    """The rate of a sweep with the least mean dev loss; None until every run of the sweep is there."""
    losses: dict[float, list[float]] = {}
    for settings in sweep(results, task, method):
        found = results.of(settings)
        if found is None:
            return None
        loss = found["dev"]["loss"]
        losses.setdefault(settings.rate, []).append(float("inf") if loss is None else loss)
    return min(losses, key=lambda rate: mean(losses[rate]), default=None)


def _tuned(results: Results, methods, task: str = "movies", swept: Optional[str] = None, seeds=SEEDS,
           **fields) -> Iterator[Settings]:
    """Runs of methods at their own rates, as the sweep on `swept` (the task itself, unless said) chose them."""
    for seed in seeds:
        for method in methods:
            rate = tuned_rate(results, swept or task, method)
            if rate is not None:
                yield Settings(task=task, method=method, rate=rate, seed=seed, **fields)


def frozen_sweep(results: Results, method: str) -> list[Settings]:
    """Over a head that stays: the three rates about the one chosen on movies, and the paper's."""
    chosen = swept_rates(results, "movies, its head frozen", method)
    return [Settings(method=method, rate=rate, seed=seed, head="frozen")
            for rate in sorted({*chosen, PAPER_RATE} if chosen else ()) for seed in SEEDS]


def wide_sweep(results: Results, method: str) -> list[Settings]:
    """Feed-forward layers, whose change goes farther at the same rate: the one chosen on movies and the two below."""
    chosen = tuned_rate(results, "movies", method)
    last = -1 if chosen is None else rates(method).index(chosen)
    return [Settings(method=method, rate=rate, seed=seed, targets=WIDE)
            for rate in rates(method)[max(last - 2, 0):last + 1] for seed in SEEDS]


def baseline(results: Results) -> Iterator[Settings]:
    """1. Six methods, each with its own rate; adapters over a head that is trained before and stays; other heads."""
    for methods in (ADAPTERS, ("head", "none", "full")):
        for i in range(5):
            for seed in SEEDS:
                for method in methods:
                    yield Settings(method=method, rate=rates(method)[i], seed=seed)
    for method in ADAPTERS:
        yield from frozen_sweep(results, method)
    for seed in MORE_SEEDS:
        for method in ADAPTERS:
            yield Settings(method=method, rate=PAPER_RATE, seed=seed)
        yield from _tuned(results, ADAPTERS, seeds=(seed,))
    for head_seed in (11, 12, 13, 14):  # all else being seed 1's
        for method in ("lora", "pi"):
            yield Settings(method=method, rate=PAPER_RATE, seed=1, head_seed=head_seed)


def inflation(results: Results) -> Iterator[Settings]:
    """2. None against LoRMA+ where the classes are many, and where they are a pair's."""
    for task in ("gloss", "pairs"):
        for method in ("none", "plus"):
            yield from sweep(results, task, method)
        for seed in SEEDS:
            yield Settings(task=task, method="head", rate=1.2e-2, seed=seed)


def rank(results: Results) -> Iterator[Settings]:
    """3. r from 1 to 64 on two tasks; and layers that are not square, at equal parameters."""
    for method in ADAPTERS:
        yield from sweep(results, "gloss", method)
    for task in ("movies", "gloss"):
        for r in (1, 64, 4, 16, 2, 32):
            yield from _tuned(results, ADAPTERS, task, rank=r)
    for method in ADAPTERS:
        yield from wide_sweep(results, method)


def deficient(results: Results) -> Iterator[Settings]:
    """5. Query and value cut to a share of their rank before tuning."""
    for share in (0.5, 0.25, 0.9, 0.75, 0.99):
        yield Settings(method="head", rate=1.2e-2, cut=share)
        yield from _tuned(results, ADAPTERS, cut=share)


GUARDS = {"plus": ("projection:0.5", "projection:0.9", "barrier:0.001"), "pi": ("projection:0.9",)}


def guarded(results: Results) -> Iterator[Settings]:
    """9. Barrier and projection, at the method's own rate and at a large one."""
    for method, guards in GUARDS.items():
        for guard in guards:
            yield from _tuned(results, (method,), guard=guard)
            for seed in SEEDS:
                yield Settings(method=method, rate=LARGE_RATE, guard=guard, seed=seed)


def allotted(results: Results) -> Iterator[Settings]:
    """7. Ranks allotted under one budget, and AdaLoRA, whose rate is chosen about LoRA's."""
    yield from sweep(results, "movies", "adalora")
    for task in ("movies", "gloss"):
        yield from _tuned(results, ("plus", "pi", "none"), task, allotted=True)
    for seed in SEEDS:
        rate = tuned_rate(results, "movies", "adalora")
        if rate is not None:
            yield Settings(task="gloss", method="adalora", rate=rate, seed=seed)


OTHER_TASKS = ("tweets", "reviews", "movies-rating", "tweets-rating", "reviews-rating", "pairs")
SAMPLES = (200, 800)
#: (task, examples) that experiment 8 looks at; 0 is all.
CASES = [("movies", 0), ("gloss", 0), *((task, 0) for task in OTHER_TASKS), *(("movies", few) for few in SAMPLES)]


def which(results: Results) -> Iterator[Settings]:
    """8. Who wins where: every task, and the first with few examples; rates as the first task chose them."""
    for task in OTHER_TASKS:
        yield from _tuned(results, ADAPTERS, task, swept="movies")
    for samples in SAMPLES:
        yield from _tuned(results, ADAPTERS, samples=samples)


def sides(results: Results) -> Iterator[Settings]:
    """10. Post, all four projections, the feed-forward layers."""
    yield from _tuned(results, ("plus", "pi"), side="post")
    yield from _tuned(results, ADAPTERS, targets=("query", "key", "value", "attention.output.dense"))
    yield from _tuned(results, ADAPTERS, targets=("query",))


#: In the order of what they are worth; the experiments on cost and gradient flow need no runs of their own.
EXPERIMENTS = {"baseline": baseline, "inflation": inflation, "rank": rank, "deficient": deficient,
               "guarded": guarded, "allotted": allotted, "which": which, "sides": sides}


class Assumed:
    """Results as if every run were there, so that a plan is whole before any learning rate is chosen."""

    def __init__(self, results: Results) -> None:
        self.results = results

    def of(self, settings: Settings) -> dict:
        return self.results.of(settings) or {"dev": {"loss": None}}


def planned(results: Results, names=()) -> dict[str, Settings]:
    """As runs, with what will be asked for later; rates that are not chosen yet stand for those that will be."""
    return runs(Assumed(results), names)


def runs(results: Results, names=()) -> dict[str, Settings]:
    """What is known to be needed now, by name, in order, each once."""
    needed: dict[str, Settings] = {}
    for name in names or EXPERIMENTS:
        for settings in EXPERIMENTS[name](results):
            needed.setdefault(settings.name, settings)
    return needed
