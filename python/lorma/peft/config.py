# SPDX-License-Identifier: Apache-2.0
"""The configuration of a LoRMA adapter, which is its adapter_config.json too."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Optional, Union

from peft import PeftConfig
from peft.utils import PeftType
from peft.utils.other import get_pattern_key

from .. import ops

FORMAT_VERSION = 1


@dataclass
class LormaLayerSpec:
    """What one adapted layer is."""

    r: int
    alpha: float
    inflation: str
    side: str

    @property
    def scale(self) -> float:
        return self.alpha / self.r


@dataclass
class LormaConfig(PeftConfig):
    """W = I(s B A) W0 (side "pre") or W0 I(s B A) ("post"), s = lora_alpha / r.

    Fields are those of LoraConfig, as far as they are here, and
        inflation           "identity" (LoRMA+), "cyclic" (LoRMA_pi), "none" (for ablation: starts
                            as a projector of rank r, not as the base)
        side                "pre" or "post"
        init_lorma_weights  False: random factors, for tests
        lorma_dropout       probability; acts on the input of P - I, so that the base's own path is
                            whole and evaluation is the model that is merged
        layers              one entry a layer, as docs/adapter-format.md says; written when a model
                            takes the adapter, read where a file of the tool has no target_modules
    Raises ValueError for values without a meaning.
    """

    r: int = field(default=8, metadata={"help": "Rank of B A."})
    lora_alpha: float = field(default=8.0, metadata={"help": "s = lora_alpha / r."})
    inflation: str = field(default="identity", metadata={"help": "identity, cyclic or none."})
    side: str = field(default="pre", metadata={"help": "pre: W = P W0; post: W = W0 P."})
    target_modules: Optional[Union[list[str], str]] = field(default=None, metadata={"help": "As LoraConfig's."})
    exclude_modules: Optional[Union[list[str], str]] = field(default=None, metadata={"help": "As LoraConfig's."})
    layers_to_transform: Optional[Union[list[int], int]] = field(default=None, metadata={"help": "As LoraConfig's."})
    layers_pattern: Optional[Union[list[str], str]] = field(default=None, metadata={"help": "As LoraConfig's."})
    rank_pattern: dict = field(default_factory=dict, metadata={"help": "Ranks of single layers."})
    alpha_pattern: dict = field(default_factory=dict, metadata={"help": "Alphas of single layers."})
    modules_to_save: Optional[list[str]] = field(default=None, metadata={"help": "Trained and saved whole."})
    init_lorma_weights: bool = field(default=True, metadata={"help": "Start as the identity."})
    lorma_dropout: float = field(default=0.0, metadata={"help": "On the input of P - I."})
    format_version: int = field(default=FORMAT_VERSION, metadata={"help": "docs/adapter-format.md."})
    layers: Optional[dict] = field(default=None, metadata={"help": "docs/adapter-format.md."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.peft_type = PeftType.LORMA
        ops.check(self.inflation, self.side)
        alphas = [self.lora_alpha, *self.alpha_pattern.values()]
        if min([self.r, *self.rank_pattern.values()]) < 1 or not all(0 < a < math.inf for a in alphas):
            raise ValueError(f"LormaConfig: expected r >= 1 and a finite lora_alpha > 0, got {self.r} and {alphas}")
        if not 0.0 <= self.lorma_dropout < 1.0:
            raise ValueError(f"LormaConfig: expected 0 <= lorma_dropout < 1, got {self.lorma_dropout}")
        if self.format_version != FORMAT_VERSION:
            raise ValueError(f"LormaConfig: expected format_version {FORMAT_VERSION}, got {self.format_version}")
        if self.layers_pattern is not None and self.layers_to_transform is None:
            raise ValueError("LormaConfig: layers_pattern needs layers_to_transform")
        self.by_layers = self.layers is not None and self.target_modules is None
        if self.by_layers:
            self.target_modules = {self.module_of(key) for key in self.layers}
        elif isinstance(self.target_modules, list):
            self.target_modules = set(self.target_modules)
        if isinstance(self.exclude_modules, list):
            self.exclude_modules = set(self.exclude_modules)

    def module_of(self, key: str) -> str:
        """The module that an entry of `layers` adapts."""
        entry = self.layers[key]
        if entry.get("outputs") is not None:
            raise ValueError(f"LormaConfig: {key!r} adapts a slice of a weight, which the PEFT method cannot; merge it "
                             "with the tool")
        return entry.get("weight", key).removesuffix(".weight")

    def spec(self, module: str) -> LormaLayerSpec:
        """What the adapter is on the module of that name."""
        if self.by_layers:
            entry = next(e for k, e in self.layers.items() if self.module_of(k) == module)
            inflation = {v: k for k, v in ops.INFLATIONS.items()}[entry["inflation"]]
            return LormaLayerSpec(entry["rank"], entry["alpha"], inflation, entry["side"].lower())
        r = self.rank_pattern.get(get_pattern_key(self.rank_pattern.keys(), module), self.r)
        alpha = self.alpha_pattern.get(get_pattern_key(self.alpha_pattern.keys(), module), self.lora_alpha)
        return LormaLayerSpec(r, alpha, self.inflation, self.side)

    def to_dict(self) -> dict:
        """What is saved: target_modules only where they are not those of `layers`."""
        saved = super().to_dict()
        if self.by_layers:
            saved["target_modules"] = None
        return saved
