# SPDX-License-Identifier: Apache-2.0
"""A model with a head, and a method of tuning upon it."""

from __future__ import annotations

import copy
import functools

import peft
import torch
import transformers
from lorma.peft import LormaConfig
from torch import nn

from settings import INFLATIONS, Settings
from tasks import Task


class WithHead(nn.Module):
    """An encoder and a linear head on the mean of its tokens."""

    def __init__(self, encoder: nn.Module, outputs: int, seed: int) -> None:
        super().__init__()
        self.encoder = encoder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.head = nn.Linear(encoder.config.hidden_size, outputs)

    def features(self, tokens: dict) -> torch.Tensor:
        states = self.encoder(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
        return (states * mask).sum(1) / mask.sum(1)

    def forward(self, tokens: dict) -> torch.Tensor:
        return self.head(self.features(tokens))


class WithOwnHead(nn.Module):
    """A model with the head that its architecture has."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.ModuleList(m for n, m in encoder.named_children() if n in ("classifier", "score"))

    def forward(self, tokens: dict) -> torch.Tensor:
        return self.encoder(**tokens).logits


@functools.lru_cache(maxsize=2)
def _loaded(model: str, dropout: bool, own_outputs: int) -> nn.Module:
    config = transformers.AutoConfig.from_pretrained(model)
    if not dropout:
        for name in ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"):
            if hasattr(config, name):
                setattr(config, name, 0.0)
    if own_outputs:
        config.num_labels = own_outputs
        kind = transformers.AutoModelForSequenceClassification
    else:
        kind = transformers.AutoModel
    return kind.from_pretrained(model, config=config, dtype=torch.float32)


def tokenizer(settings: Settings):
    return transformers.AutoTokenizer.from_pretrained(settings.model)


def base(settings: Settings, task: Task) -> nn.Module:
    """The frozen model with a fresh head; the head's start follows from head_seed, or the seed, alone."""
    outputs = task.classes or 1
    own = outputs if settings.head == "model" else 0
    seed = settings.seed if settings.head_seed is None else settings.head_seed
    torch.manual_seed(seed)
    encoder = copy.deepcopy(_loaded(settings.model, settings.dropout, own)).requires_grad_(False)
    model = WithOwnHead(encoder) if own else WithHead(encoder, outputs, seed)
    if settings.cut < 1.0:
        for module in targets(encoder, settings).values():
            module.weight.data = cut(module.weight.data, settings.cut)
    return model


def targets(encoder: nn.Module, settings: Settings) -> dict[str, nn.Module]:
    """The modules that are adapted, by name; PEFT's rule of suffixes."""
    found = {name: module for name, module in encoder.named_modules() if isinstance(module, nn.Linear)
             and any(name == t or name.endswith("." + t) for t in settings.targets)}
    if not found:
        raise SystemExit(f"methods: {settings.model} has no linear layer called {', '.join(settings.targets)}")
    return found


def cut(weight: torch.Tensor, share: float) -> torch.Tensor:
    """The nearest matrix with only that share of its singular values, rounded to at least one."""
    u, s, vt = torch.linalg.svd(weight.double(), full_matrices=False)
    keep = max(1, round(share * len(s)))
    return ((u[:, :keep] * s[:keep]) @ vt[:keep]).to(weight.dtype)


def config(settings: Settings):
    """The PEFT configuration, or None where there is no adapter."""
    common = {"r": settings.rank, "lora_alpha": settings.alpha, "target_modules": list(settings.targets)}
    if settings.method == "lora":
        return peft.LoraConfig(**common)
    if settings.method == "adalora":
        tenth = max(1, settings.steps // 10)
        return peft.AdaLoraConfig(lora_alpha=settings.alpha, target_modules=list(settings.targets),
                                  init_r=settings.rank * 3 // 2, target_r=settings.rank, tinit=tenth,
                                  tfinal=settings.steps // 3, deltaT=2, total_step=settings.steps)
    if settings.method in INFLATIONS:
        return LormaConfig(inflation=INFLATIONS[settings.method], side=settings.side, **common)
    return None


def adapt(model: nn.Module, settings: Settings) -> None:
    """Puts the adapter on, in place, or thaws what full tuning trains."""
    torch.manual_seed(settings.seed)
    adapter = config(settings)
    if adapter is not None:
        model.encoder = peft.get_peft_model(model.encoder, adapter)
    elif settings.method == "full":
        model.encoder.requires_grad_(True)
    model.head.zero_grad()
    model.head.requires_grad_(settings.head != "frozen")
