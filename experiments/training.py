# SPDX-License-Identifier: Apache-2.0
"""One run: learn, look, test."""

from __future__ import annotations

import functools
import math
import random
import resource
import time
from pathlib import Path

import numpy as np
import torch
import transformers
from scipy import stats
from torch import nn

import guards
import methods
import tasks
from recorder import Recorder
from settings import Settings, replace

EVERY = 10  #: steps between two points of a curve
POINTS = 500  #: of a curve, at most: long runs have points further apart
HEAD_STEPS, HEAD_RATE = 200, 1e-2  #: of a head that is trained alone and then frozen


class Data:
    """A task's parts as numbers of tokens, cut to a length, for one tokenizer."""

    def __init__(self, task: tasks.Task, settings: Settings) -> None:
        self.task = task
        self.tokenizer = methods.tokenizer(settings)
        parts = task.parts | {"dev": task.parts["dev"][:settings.dev], "test": task.parts["test"][:settings.test]}
        kind = torch.long if task.classes else torch.float32
        self.labels = {name: torch.tensor([label for _, label in part], dtype=kind) for name, part in parts.items()}
        self.tokens = {name: self.tokenizer(*map(list, zip(*(texts for texts, _ in part))), truncation=True,
                                            max_length=settings.length) for name, part in parts.items()}

    def lengths(self, part: str) -> list[int]:
        return [len(ids) for ids in self.tokens[part]["input_ids"]]

    def batch(self, part: str, indices: list[int]) -> tuple[dict, torch.Tensor]:
        chosen = {key: [rows[i] for i in indices] for key, rows in self.tokens[part].items()}
        return dict(self.tokenizer.pad(chosen, return_tensors="pt")), self.labels[part][indices]


def order(data: Data, settings: Settings) -> list[list[int]]:
    """The batches of all steps: shuffled, then of like length within every eight; the seed's alone."""
    rng = random.Random(settings.seed)
    length = data.lengths("train")
    count = min(settings.samples or len(length), len(length))
    steps = settings.steps or 30 * math.ceil(count / settings.batch)
    batches: list[list[int]] = []
    while len(batches) < steps:
        epoch = rng.sample(range(count), count)
        for start in range(0, count, 8 * settings.batch):
            chunk = sorted(epoch[start:start + 8 * settings.batch], key=length.__getitem__)
            cut = [chunk[i:i + settings.batch] for i in range(0, len(chunk), settings.batch)]
            rng.shuffle(cut)
            batches += cut
    return batches[:steps]


def loss_of(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross entropy for classes, half the squared error for numbers."""
    if labels.is_floating_point():
        return 0.5 * nn.functional.mse_loss(outputs.squeeze(-1), labels)
    return nn.functional.cross_entropy(outputs, labels)


@torch.inference_mode()
def answers(model: nn.Module, data: Data, part: str, device: str) -> torch.Tensor:
    """Outputs for a part, in its order, from batches of like length."""
    length = data.lengths(part)
    indices = sorted(range(len(length)), key=length.__getitem__)
    rows: list = [None] * len(indices)
    model.eval()
    for start in range(0, len(indices), 64):
        chosen = indices[start:start + 64]
        tokens, _ = data.batch(part, chosen)
        for i, row in zip(chosen, model({k: v.to(device) for k, v in tokens.items()}).float().cpu()):
            rows[i] = row
    return torch.stack(rows)


def scores(outputs: torch.Tensor, labels: torch.Tensor) -> dict:
    """Loss, and for classes accuracy, F1 of class 1, Matthews correlation, share of the commonest answer; for ratings
    Pearson's and Spearman's correlation."""
    found = {"loss": float(loss_of(outputs, labels))}
    if labels.is_floating_point():
        answer = outputs.squeeze(-1).numpy()
        still = answer.std() == 0.0
        found["pearson"] = 0.0 if still else float(stats.pearsonr(answer, labels.numpy()).statistic)
        found["spearman"] = 0.0 if still else float(stats.spearmanr(answer, labels.numpy()).statistic)
        return found
    answer = outputs.argmax(1)
    found["accuracy"] = float((answer == labels).float().mean())
    found["majority"] = float(labels.bincount().max() / len(labels))
    found["commonest_answer"] = float(answer.bincount().max() / len(labels))
    if outputs.shape[1] == 2:
        hit, wrong = int(((answer == 1) & (labels == 1)).sum()), int((answer != labels).sum())
        found["f1"] = 2 * hit / (2 * hit + wrong) if hit + wrong else 0.0
        found["matthews"] = _matthews(answer, labels)
    return found


def _matthews(answer: torch.Tensor, labels: torch.Tensor) -> float:
    if answer.float().std() == 0 or labels.float().std() == 0:
        return 0.0
    return float(torch.corrcoef(torch.stack([answer.float(), labels.float()]))[0, 1])


@functools.lru_cache(maxsize=3)
def _data(task: str, model: str, length: int, dev: int, test: int) -> Data:
    settings = Settings(task=task, model=model, length=length, dev=dev, test=test)
    return Data(tasks.load(task), settings)


def data_of(settings: Settings) -> Data:
    return _data(settings.task, settings.model, settings.length, settings.dev, settings.test)


class Features:
    """The frozen encoder's features, computed once for each example that is asked for."""

    def __init__(self, model: nn.Module, data: Data) -> None:
        self.model, self.data = model.eval(), data
        self.rows: dict[tuple[str, int], torch.Tensor] = {}

    @torch.no_grad()
    def of(self, part: str, indices: list[int]) -> torch.Tensor:
        length = self.data.lengths(part)
        missing = sorted((i for i in indices if (part, i) not in self.rows), key=length.__getitem__)
        for start in range(0, len(missing), 64):
            chosen = missing[start:start + 64]
            for i, row in zip(chosen, self.model.features(self.data.batch(part, chosen)[0])):
                self.rows[part, i] = row.clone()
        return torch.stack([self.rows[part, i] for i in indices])


@functools.lru_cache(maxsize=3)
def _features(settings: Settings) -> Features:
    data = data_of(settings)
    return Features(methods.base(settings, data.task), data)


def features_of(settings: Settings) -> Features:
    """Shared by all runs whose frozen encoder is the same."""
    return _features(Settings(task=settings.task, model=settings.model, cut=settings.cut, length=settings.length,
                              targets=settings.targets if settings.cut < 1.0 else Settings.targets, dev=settings.dev,
                              test=settings.test))


def head_alone(head: nn.Linear, settings: Settings, steps: int, rate: float, curve: list | None = None) -> None:
    """Trains the head on the frozen encoder's features, which without dropout is what training along would do."""
    features = features_of(settings)
    adam = torch.optim.AdamW(head.parameters(), rate, weight_decay=settings.weight_decay)
    schedule = transformers.get_linear_schedule_with_warmup(adam, math.ceil(settings.warm_up * steps), steps)
    total = 0.0
    for step, indices in enumerate(order(features.data, replace(settings, steps=steps)), 1):
        loss = loss_of(head(features.of("train", indices)), features.data.labels["train"][indices])
        adam.zero_grad()
        loss.backward()
        adam.step()
        schedule.step()
        total += loss.item()
        if curve is not None and step % EVERY == 0:
            norm = sum(float(p.grad.square().sum()) for p in head.parameters()) ** 0.5
            curve.append({"step": step, "loss": total / EVERY, "gradients": {"head": norm}})
            total = 0.0


def peak_memory(restart: bool = False) -> float | None:
    """MiB of this process at its largest since the last restart, where the kernel tells; else since its start."""
    try:
        if restart:
            Path("/proc/self/clear_refs").write_text("5")
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(settings: Settings, watch=lambda step, steps, loss: None) -> dict:
    """Carries the run out; what its file says. A loss that ends as no number is a result too: null."""
    data = data_of(settings)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    peak_memory(restart=True)
    wall, cpu = time.perf_counter(), time.process_time()
    curve: list[dict] = []
    model = methods.base(settings, data.task)
    found: dict = {"settings": settings.to_dict(), "name": settings.name}
    if settings.head == "frozen":
        head_alone(model.head, settings, HEAD_STEPS, HEAD_RATE)
        wall, cpu = time.perf_counter(), time.process_time()
    if settings.method == "head" and not settings.dropout and settings.head == "trained":
        head_alone(model.head, settings, settings.steps, settings.rate, curve)
        found["parameters"] = 0
        step_seconds = step_cpu = None
        features = features_of(settings)
        outputs = {part: model.head(features.of(part, list(range(len(data.labels[part]))))).detach()
                   for part in ("dev", "test")}
    else:
        methods.adapt(model, settings)
        model.to(device)
        found["parameters"] = sum(p.numel() for p in model.encoder.parameters() if p.requires_grad)
        step_seconds, step_cpu = learn(model, data, settings, curve, device, watch, found)
        outputs = {part: answers(model, data, part, device) for part in ("dev", "test")}
    for part in ("dev", "test"):
        found[part] = scores(outputs[part], data.labels[part])
    if data.task.classes:
        right = outputs["test"].argmax(1) == data.labels["test"]
        found["right"] = {"count": len(right), "bits": np.packbits(right.numpy()).tobytes().hex()}
    found["curve"] = curve
    found["seconds"] = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu,
                        "step_wall": step_seconds, "step_cpu": step_cpu}
    found["peak_mib"] = peak_memory()
    found["machine"] = {"threads": torch.get_num_threads(), "device": device, "torch": torch.__version__}
    return rounded(found)


def learn(model: nn.Module, data: Data, settings: Settings, curve: list, device: str, watch, found: dict):
    """The steps. Wall and CPU seconds a step, without what recording costs."""
    recorder = Recorder(model.encoder, settings)
    guard = guards.make(model.encoder, settings)
    batches = order(data, settings)
    steps = len(batches)
    allotment = guards.Allotment(model, steps) if settings.allotted else None
    head = [p for p in model.head.parameters() if p.requires_grad]
    known = {id(p) for p in head}
    body = [p for p in model.encoder.parameters() if p.requires_grad and id(p) not in known]
    groups = [{"params": body}] + ([{"params": head, "lr": settings.head_rate or settings.rate}] if head else [])
    adam = torch.optim.AdamW(groups, settings.rate, weight_decay=settings.weight_decay)
    schedule = transformers.get_linear_schedule_with_warmup(adam, math.ceil(settings.warm_up * steps), steps)
    torch.manual_seed(settings.seed)
    model.train()
    every = EVERY * max(1, math.ceil(steps / EVERY / POINTS))
    total, since, wall, cpu = 0.0, 0, 0.0, 0.0
    for step, indices in enumerate(batches, 1):
        tokens, labels = data.batch("train", indices)
        tokens, labels = {k: v.to(device) for k, v in tokens.items()}, labels.to(device)
        wall -= time.perf_counter()
        cpu -= time.process_time()
        adam.zero_grad()
        loss = loss_of(model(tokens), labels)
        (loss + guard.penalty()).backward()
        if allotment is not None:
            allotment.after_backward(step, adam)
        adam.step()
        schedule.step()
        guard.after_step()
        if settings.method == "adalora":
            model.encoder.base_model.update_and_allocate(step)
        wall += time.perf_counter()
        cpu += time.process_time()
        total += loss.item()
        since += 1
        if step % every == 0 or step == steps:
            point = {"step": step, "loss": total / since, "gradients": recorder.gradients(model.head),
                     **recorder.moves()}
            if (bound := guard.bound()) is not None:
                point["condition_bound"] = bound
            if step in (every, steps // 2 // every * every, steps):
                point |= recorder.ranks()
            curve.append(point)
            watch(step, steps, total / since)
            total, since = 0.0, 0
    found |= guard.report()
    if allotment is not None:
        found["ranks"] = allotment.ranks()
    return wall / steps, cpu / steps


def rounded(value, digits: int = 6):
    """JSON without digits that mean nothing; what is no number is null."""
    if isinstance(value, dict):
        return {k: rounded(v, digits) for k, v in value.items()}
    if isinstance(value, list):
        return [rounded(v, digits) for v in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    return value
