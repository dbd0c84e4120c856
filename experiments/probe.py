#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""probe.py [--results DIR]: what is known of a task before any tuning, into results/probe, a file a task.

The gradient of the adapted weights over a head that was trained alone, its spectrum, and the weights' own
conditions. A minute a task."""

from __future__ import annotations

import argparse
import json
import os
import warnings
from pathlib import Path
from statistics import mean

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
warnings.simplefilter("ignore")

import torch  # noqa: E402
from lorma import analysis  # noqa: E402

import methods  # noqa: E402
import training  # noqa: E402
from grid import CASES  # noqa: E402
from settings import Settings  # noqa: E402

BATCHES = 8


def share_within(gradient: torch.Tensor, rank: int) -> float:
    """How much of the squared norm the best approximation of that rank has."""
    squares = torch.linalg.svdvals(gradient.double()).square()
    return float(squares[:rank].sum() / squares.sum())


def probe(task: str, samples: int) -> dict:
    settings = Settings(task=task, samples=samples)
    data = training.data_of(settings)
    model = methods.base(settings, data.task)
    training.head_alone(model.head, settings, training.HEAD_STEPS, training.HEAD_RATE)
    weights = [module.weight.requires_grad_(True) for module in methods.targets(model.encoder, settings).values()]
    for indices in training.order(data, settings)[:BATCHES]:
        tokens, labels = data.batch("train", indices)
        (training.loss_of(model(tokens), labels) / BATCHES).backward()
    reports = [analysis.rank_report(w.grad) for w in weights]
    head = training.scores(training.answers(model, data, "dev", "cpu"), data.labels["dev"])
    size = len(data.labels["train"])
    return training.rounded({
        "task": task, "samples": samples, "examples": min(samples or size, size), "head_dev": head,
        "gradient_norm": sum(float(w.grad.square().sum()) for w in weights) ** 0.5,
        "gradient_effective_rank": mean(r.effective_rank for r in reports),
        "gradient_share_8": mean(share_within(w.grad, 8) for w in weights),
        "gradient_share_1": mean(share_within(w.grad, 1) for w in weights),
        "multiplier_share_8": mean(share_within(w.grad @ w.detach().T, 8) for w in weights),
        "condition_W0": mean(r.largest / r.smallest for r in map(analysis.rank_report, weights))})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    folder = parser.parse_args().results / "probe"
    folder.mkdir(parents=True, exist_ok=True)
    for task, samples in CASES:
        path = folder / f"{task}-{samples}.json"
        if not path.exists():
            partial = path.with_suffix(".partial")
            partial.write_text(json.dumps(probe(task, samples)) + "\n")
            os.replace(partial, path)
            print(path.name, flush=True)


if __name__ == "__main__":
    main()
