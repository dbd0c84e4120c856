# SPDX-License-Identifier: Apache-2.0
"""A linear layer with LoRMA adapters around it."""

from __future__ import annotations

import warnings
from typing import Any, Optional

import torch
from peft.tuners.tuners_utils import BaseTunerLayer, _get_in_out_features, check_adapters_to_merge
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from .. import ops
from .config import LormaConfig, LormaLayerSpec


class LormaLayer(BaseTunerLayer):
    """The factors of every adapter of one layer: lorma_B[name] [n, r], lorma_A[name] [r, n]."""

    adapter_layer_names = ("lorma_B", "lorma_A")
    other_param_names = ("specs", "lorma_dropout")

    def __init__(self, base_layer: nn.Module) -> None:
        self.base_layer = base_layer
        self.specs: dict[str, LormaLayerSpec] = {}
        self.lorma_B = nn.ParameterDict()
        self.lorma_A = nn.ParameterDict()
        self.lorma_dropout = nn.ModuleDict()
        self._disable_adapters = False
        self.merged_adapters: list[str] = []
        base = self.get_base_layer()
        self.in_features, self.out_features = _get_in_out_features(base)
        self.fan_in_fan_out = isinstance(base, Conv1D)

    def update_layer(self, adapter_name: str, config: LormaConfig, spec: LormaLayerSpec) -> None:
        """Adds an adapter at its start."""
        n = self.out_features if spec.side == "pre" else self.in_features
        B, A = torch.empty(n, spec.r), torch.empty(spec.r, n)
        if config.init_lorma_weights:
            ops.initialize_(B, A, spec.scale, spec.inflation)
        else:
            nn.init.normal_(B, std=spec.r ** -0.5)
            nn.init.normal_(A, std=n ** -0.5)
        self.specs[adapter_name] = spec
        self.lorma_dropout[adapter_name] = nn.Dropout(config.lorma_dropout)
        self.lorma_B[adapter_name] = nn.Parameter(B)
        self.lorma_A[adapter_name] = nn.Parameter(A)
        self._move_adapter_to_device_of_base_layer(adapter_name)
        self.set_adapter(self.active_adapters, inference_mode=config.inference_mode)

    def multiply(self, adapter_name: str, y: Tensor, bias: Optional[Tensor] = None) -> Tensor:
        """P y of one adapter; what y carries as bias is left alone."""
        spec = self.specs[adapter_name]
        B, A = self.lorma_B[adapter_name], self.lorma_A[adapter_name]
        if self._drops(adapter_name):  # y + (P - I) dropout(y)
            dropped = self.lorma_dropout[adapter_name](y if bias is None else y - bias)
            return y - dropped + ops.multiply(dropped, B, A, spec.scale, spec.inflation)
        return ops.multiply(y, B, A, spec.scale, spec.inflation, bias)

    def _drops(self, adapter_name: str) -> bool:
        return self.training and self.lorma_dropout[adapter_name].p > 0.0

    def merged_weight(self, adapter_names: list[str]) -> Tensor:
        """The weight [out, in] with adapters, composed in order in a wider type and rounded once."""
        weight = self._weight()
        wider = torch.float64 if weight.dtype == torch.float32 else torch.promote_types(weight.dtype, torch.float32)
        wide = weight.to(wider)
        with torch.no_grad():
            for name in adapter_names:
                spec = self.specs[name]
                wide = ops.merge(wide, self.lorma_B[name], self.lorma_A[name], spec.scale, spec.inflation, spec.side)
        return wide.to(weight.dtype)

    def merge(self, safe_merge: bool = False, adapter_names: Optional[list[str]] = None) -> None:
        """The active adapters, or those named, become part of the base's weight, in order.

        Raises ValueError, with the weight as it was, where safe_merge finds a NaN or an infinity.
        """
        names = [name for name in check_adapters_to_merge(self, adapter_names) if name in self.lorma_B]
        if not names:
            return
        weight = self.merged_weight(names)
        if safe_merge and not torch.isfinite(weight).all():
            raise ValueError(f"NaNs detected in the merged weights. The adapter {', '.join(names)} seems to be broken")
        self._set_weight(weight)
        self.merged_adapters.extend(names)

    def unmerge(self) -> None:
        """Takes all merged adapters out again, by their inverses, the last one first.

        Raises RuntimeError when no digit would survive; weight and record are as they were then.
        """
        if not self.merged:
            warnings.warn("Already unmerged. Nothing to do.")
            return
        weight = self._weight()
        for name in reversed(self.merged_adapters):
            spec = self.specs[name]
            weight = ops.unmerge(weight, self.lorma_B[name], self.lorma_A[name], spec.scale, spec.inflation, spec.side)
        self._set_weight(weight)
        self.merged_adapters.clear()

    def get_delta_weight(self, adapter_name: str) -> Tensor:
        """W - W0 of one adapter, as the base's weight lies."""
        weight = self._weight()
        delta = self.merged_weight([adapter_name]) - weight
        return delta.T if self.fan_in_fan_out else delta

    def _weight(self) -> Tensor:
        weight = self.get_base_layer().weight.data
        if not weight.is_floating_point() or weight.shape != self._weight_shape():
            raise TypeError(f"LormaLayer: expected a floating-point weight {self._weight_shape()} to merge into, got "
                            f"{weight.dtype} {tuple(weight.shape)} of {type(self.get_base_layer()).__name__}")
        return weight.T if self.fan_in_fan_out else weight

    def _weight_shape(self) -> tuple[int, int]:
        shape = (self.out_features, self.in_features)
        return shape[::-1] if self.fan_in_fan_out else shape

    def _set_weight(self, weight: Tensor) -> None:
        self.get_base_layer().weight.data = (weight.T if self.fan_in_fan_out else weight).contiguous()


class LormaLinear(nn.Module, LormaLayer):
    """Any base layer that is linear on the last axis: torch's Linear, transformers' Conv1D, a quantized one."""

    def __init__(self, base_layer: nn.Module, adapter_name: str, config: LormaConfig, spec: LormaLayerSpec) -> None:
        super().__init__()
        LormaLayer.__init__(self, base_layer)
        self._active_adapter = adapter_name
        self.update_layer(adapter_name, config, spec)

    def forward(self, x: Tensor, *args: Any, adapter_names: Optional[list[str]] = None, **kwargs: Any) -> Tensor:
        if adapter_names is not None:
            return self._mixed(x, adapter_names, *args, **kwargs)
        if self.disable_adapters:
            if self.merged:
                self.unmerge()
            return self.base_layer(x, *args, **kwargs)
        if self.merged:
            return self.base_layer(x, *args, **kwargs)
        return self._adapted(x, self.active_adapters, *args, **kwargs)

    def _adapted(self, x: Tensor, adapter_names: list[str], *args: Any, **kwargs: Any) -> Tensor:
        """W = P_m ... P_1 W0 Q_1 ... Q_k for the adapters P of side pre and Q of side post, in order."""
        names = [name for name in adapter_names if name in self.lorma_B]
        if not names:
            return self.base_layer(x, *args, **kwargs)
        pre = [name for name in names if self.specs[name].side == "pre"]
        post = [name for name in names if self.specs[name].side == "post"]
        nearest, *others = pre or post
        for name in reversed(post if pre else others):
            x = self.multiply(name, x)
        base, bias = self.base_layer, getattr(self.base_layer, "bias", None)
        if type(base) is nn.Linear and type(base.weight) is nn.Parameter and not self._drops(nearest):
            spec = self.specs[nearest]
            y = ops.linear(x, base.weight, bias, self.lorma_B[nearest], self.lorma_A[nearest], spec.scale,
                           spec.inflation, spec.side)
        elif pre:
            y = self.multiply(nearest, base(x, *args, **kwargs), bias)
        else:
            y = base(self.multiply(nearest, x), *args, **kwargs)
        for name in pre[1:]:
            y = self.multiply(name, y, bias)
        return y

    def _mixed(self, x: Tensor, adapter_names: list[str], *args: Any, **kwargs: Any) -> Tensor:
        """One adapter a sample; "__base__" and adapters that this layer lacks are the base."""
        if len(x) != len(adapter_names):
            raise ValueError("Length of `adapter_names` should be the same as the number of inputs, but got "
                             f"{len(adapter_names)} and {len(x)} respectively.")
        if self.merged:
            raise ValueError("Cannot pass `adapter_names` when there are merged adapters, please call "
                             "`unmerge_adapter` first.")
        samples: dict[str, list[int]] = {}
        for i, name in enumerate(adapter_names):
            samples.setdefault(name, []).append(i)
        result = None
        for name, indices in samples.items():
            part = self._adapted(x[indices], [name], *args, **kwargs)
            if result is None:
                result = part.new_empty(len(x), *part.shape[1:])
            result[indices] = part
        return result

    def __repr__(self) -> str:
        return "lorma." + super().__repr__()
