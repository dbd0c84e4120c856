# SPDX-License-Identifier: Apache-2.0
"""The tuner: which modules are adapted, and what the saved files say about them."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial

import torch
from peft.tuners.tuners_utils import BaseTuner, BaseTunerLayer
from peft.utils import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn

from .. import ops
from .config import LormaConfig
from .layer import LormaLayer, LormaLinear


def _with_adapter_names(module, args, kwargs, adapter_names):
    kwargs["adapter_names"] = adapter_names
    return args, kwargs


class LormaModel(BaseTuner):
    """Created by peft.get_peft_model and PeftModel.from_pretrained for a LormaConfig."""

    prefix: str = "lorma_"
    tuner_layer_cls = LormaLayer
    target_module_mapping = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING

    def _create_and_replace(self, config: LormaConfig, adapter_name: str, target: nn.Module, target_name: str,
                            parent: nn.Module, current_key: str) -> None:
        spec = config.spec(current_key)
        if isinstance(target, LormaLayer):
            target.update_layer(adapter_name, config, spec)
            return
        base = target.get_base_layer() if isinstance(target, BaseTunerLayer) else target
        if isinstance(base, (nn.Embedding, nn.MultiheadAttention, nn.modules.conv._ConvNd)):
            raise TypeError(f"LormaModel: expected {current_key!r} to be a linear layer, got {type(base).__name__}")
        layer = LormaLinear(target, adapter_name, config, spec)
        if layer.in_features is None:
            raise TypeError(f"LormaModel: {current_key!r} does not say its sizes: {type(base).__name__} has no "
                            "in_features and out_features")
        if adapter_name not in self.active_adapters:
            layer.requires_grad_(False)
        self._replace_module(parent, target_name, layer, target)

    def inject_adapter(self, model: nn.Module, adapter_name: str, *args, **kwargs) -> None:
        """As PEFT's, and writes into the config what every layer is."""
        super().inject_adapter(model, adapter_name, *args, **kwargs)
        layers = {}
        for name, module in model.named_modules():
            if isinstance(module, LormaLayer) and adapter_name in module.specs:
                spec = module.specs[adapter_name]
                layers[f"base_model.model.{name}"] = {
                    "weight": f"{name}.weight", "inflation": ops.INFLATIONS[spec.inflation],
                    "side": ops.SIDES[spec.side], "n": module.lorma_B[adapter_name].shape[0], "rank": spec.r,
                    "alpha": float(spec.alpha), "layout": "in_out" if module.fan_in_fan_out else "out_in"}
        self.peft_config[adapter_name].layers = layers

    @staticmethod
    def by_modules(state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """A file of the tool names a layer by its weight, "encoder.query.weight.lorma_B"; PEFT, by the module."""
        renamed = {}
        for key, tensor in state_dict.items():
            name, dot, factor = key.rpartition(".")
            if factor in LormaLayer.adapter_layer_names and name.endswith(".weight"):
                key = f"base_model.model.{name.removesuffix('.weight')}{dot}{factor}"
            renamed[key] = tensor
        return renamed

    @classmethod
    def _remap_adapter_state_dict_for_load(cls, model: nn.Module, config: LormaConfig, adapter_name: str,
                                           state_dict: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """PEFT's names of what a file holds; PEFT before 0.21 does not ask for them (register.py)."""
        return super()._remap_adapter_state_dict_for_load(model, config, adapter_name, cls.by_modules(state_dict))

    @contextmanager
    def _enable_peft_forward_hooks(self, *args, **kwargs):
        """One adapter a sample, by the argument adapter_names of a forward in evaluation."""
        adapter_names = kwargs.pop("adapter_names", None)
        if adapter_names is None:
            yield
            return
        if self.training:
            raise ValueError("Cannot pass `adapter_names` when the model is in training mode.")
        layers = [m for m in self.modules() if isinstance(m, LormaLayer)]
        unknown = set(adapter_names) - {"__base__"}.union(*(layer.lorma_B.keys() for layer in layers))
        if unknown:
            raise ValueError(f"Trying to infer with non-existing adapter(s): {', '.join(sorted(unknown))}")
        hook = partial(_with_adapter_names, adapter_names=adapter_names)
        handles = [m.register_forward_pre_hook(hook, with_kwargs=True) for m in self.modules()
                   if isinstance(m, (LormaLayer, AuxiliaryTrainingWrapper))]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
