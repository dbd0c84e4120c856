# SPDX-License-Identifier: Apache-2.0
"""What one run is: its settings, and the name of its file."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import Optional

MINILM = "out/models/all-MiniLM-L6-v2"

#: How pages call the methods.
LABELS = {"head": "head alone", "full": "full tuning", "lora": "LoRA", "none": "None", "plus": "LoRMA+",
          "pi": "LoRMA_pi", "adalora": "AdaLoRA"}
#: Methods of lorma and their inflation.
INFLATIONS = {"plus": "identity", "pi": "cyclic", "none": "none"}


@dataclass(frozen=True)
class Settings:
    """One run. Two runs of equal settings are the same run, to the bit on one machine.

    Fields in the order of their weight; those that differ from the defaults make up the name.
    """

    task: str = "movies"
    method: str = "lora"            #: a key of LABELS
    model: str = MINILM             #: a folder, or a name of the hub
    rank: int = 8
    alpha: float = 8.0              #: s = alpha / rank
    targets: tuple = ("query", "value")
    side: str = "pre"
    rate: float = 1.2e-3            #: peak learning rate of AdamW
    head: str = "trained"           #: trained: along; frozen: alone, before; model: the architecture's own, along
    head_rate: Optional[float] = None  #: where it differs from rate
    head_seed: Optional[int] = None    #: where the head's start has a seed of its own
    cut: float = 1.0                #: share of their singular values that the adapted weights keep
    guard: str = ""                 #: barrier:WEIGHT or projection:LIMIT on the multipliers of LoRMA
    allotted: bool = False          #: ranks by lorma.allocate after a tenth of the steps
    samples: int = 0                #: only so many examples to learn from; 0: all
    steps: int = 80
    batch: int = 32
    length: int = 40                #: tokens, at most
    warm_up: float = 0.06           #: share of the steps; then linear decay to 0
    weight_decay: float = 0.0
    dropout: bool = False           #: the model's own
    dev: int = 320                  #: examples, at most
    test: int = 1024                #: examples, at most
    seed: int = 1

    def __post_init__(self) -> None:
        if self.method not in LABELS:
            raise ValueError(f"Settings: expected method to be one of {', '.join(LABELS)}, got {self.method!r}")
        if self.head not in ("trained", "frozen", "model"):
            raise ValueError(f"Settings: expected head trained, frozen or model, got {self.head!r}")
        object.__setattr__(self, "targets", tuple(self.targets))

    @property
    def name(self) -> str:
        """As movies-pi-rate=0.004-seed=2: safe in a path."""
        parts = [self.task.replace("/", "_"), self.method]
        for field in fields(self)[2:]:
            value = getattr(self, field.name)
            if value != field.default:
                text = "+".join(value) if isinstance(value, tuple) else f"{value:g}" if type(value) is float else value
                parts.append(f"{field.name}={text}".replace("/", "_"))
        return "-".join(parts)

    def to_dict(self) -> dict:
        """What a file of results says; for JSON, so that a tuple is a list."""
        return {**asdict(self), "targets": list(self.targets)}

    @classmethod
    def from_dict(cls, values: dict) -> "Settings":
        return cls(**values)


#: Section 4 of the paper, for RoBERTa on GLUE: what `--paper` starts from. Needs a GPU.
PAPER = {"model": "roberta-base", "head": "model", "rate": 4e-4, "warm_up": 0.06, "weight_decay": 0.01, "alpha": 8.0,
         "batch": 32, "length": 512, "dropout": True, "dev": 1 << 30, "test": 1 << 30, "steps": 0}

__all__ = ["Settings", "LABELS", "INFLATIONS", "PAPER", "MINILM", "replace"]
