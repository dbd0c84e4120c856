# SPDX-License-Identifier: Apache-2.0
"""Small adapters of every kind that the tool merges, made and merged by peft itself.

As a program it writes the golden files of tests/data/peft:

    peft_cases.py DIRECTORY [CASE...]

As a module, `write(case, directory)` makes one of CASES: base.safetensors, adapter/ and
expected.safetensors, the weights of merge_and_unload().
"""
import json
import sys
from pathlib import Path

import peft
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D


class Experts(nn.Module):
    """Expert weights of three axes, out x in, as mixtures of experts in transformers keep them."""
    def __init__(self):
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.randn(3, 10, 4))
        self.down_proj = nn.Parameter(torch.randn(3, 4, 5))

    def forward(self, x):
        return x


class TurnedExperts(Experts):
    """The same in x out."""
    is_transposed = True

    def __init__(self):
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.randn(3, 4, 10))
        self.down_proj = nn.Parameter(torch.randn(3, 5, 4))


class Block(nn.Module):
    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        return x


def linear():
    return Block(q=nn.Linear(8, 12), v=nn.Linear(8, 8, bias=False), up=nn.Linear(8, 16), down=nn.Linear(16, 8))


def convolutions():
    return Block(wide=nn.Conv2d(3, 6, 3), point=nn.Conv2d(4, 5, 1), line=nn.Conv1d(4, 6, 2))


def square_convolutions():
    return Block(wide=nn.Conv2d(3, 6, 3), point=nn.Conv2d(4, 5, 1))


def turned():
    return Block(c_attn=Conv1D(12, 4), c_proj=Conv1D(4, 6))


def embedding():
    return Block(tokens=nn.Embedding(11, 6), q=nn.Linear(6, 4))


LINEAR = ["q", "v", "down"]
# name: the model, the configuration
CASES = {
    "lora_convolutions": (convolutions, lambda: peft.LoraConfig(
        r=2, lora_alpha=3, target_modules=["wide", "point", "line"])),
    "lora_experts": (lambda: Block(experts=Experts()), lambda: peft.LoraConfig(
        r=2, lora_alpha=4, target_modules=[],
        target_parameters=["experts.gate_up_proj", "experts.down_proj"])),
    "lora_turned_experts": (lambda: Block(experts=TurnedExperts()), lambda: peft.LoraConfig(
        r=2, lora_alpha=4, target_modules=[],
        target_parameters=["experts.gate_up_proj", "experts.down_proj"])),
    "lora_embedding": (embedding, lambda: peft.LoraConfig(r=2, lora_alpha=3, target_modules=["tokens", "q"])),
    "lora_biases": (linear, lambda: peft.LoraConfig(
        r=2, lora_alpha=3, bias="lora_only", target_modules=LINEAR, modules_to_save=["up"])),
    "lora_all_biases": (linear, lambda: peft.LoraConfig(r=2, lora_alpha=3, bias="all", target_modules=["q"])),
    "lora_own_bias": (linear, lambda: peft.LoraConfig(
        r=2, lora_alpha=3, lora_bias=True, use_rslora=True, target_modules=["q", "down"])),
    "dora": (linear, lambda: peft.LoraConfig(r=2, lora_alpha=3, use_dora=True, target_modules=LINEAR)),
    "dora_turned": (turned, lambda: peft.LoraConfig(
        r=2, lora_alpha=3, use_dora=True, fan_in_fan_out=True, target_modules=["c_attn", "c_proj"])),
    "dora_convolutions": (convolutions, lambda: peft.LoraConfig(
        r=2, lora_alpha=3, use_dora=True, target_modules=["wide", "point", "line"])),
    "ia3": (linear, lambda: peft.IA3Config(target_modules=LINEAR, feedforward_modules=["down"])),
    "ia3_turned": (turned, lambda: peft.IA3Config(
        target_modules=["c_attn", "c_proj"], feedforward_modules=["c_proj"], fan_in_fan_out=True)),
    "ia3_convolutions": (square_convolutions, lambda: peft.IA3Config(
        target_modules=["wide", "point"], feedforward_modules=["point"])),
    "hra": (linear, lambda: peft.HRAConfig(r=4, target_modules=LINEAR)),
    "hra_orthogonal": (linear, lambda: peft.HRAConfig(r=3, apply_GS=True, target_modules=LINEAR)),
    "hra_convolutions": (square_convolutions, lambda: peft.HRAConfig(r=2, target_modules=["wide", "point"])),
    "road_1": (linear, lambda: peft.RoadConfig(variant="road_1", group_size=4, target_modules=LINEAR)),
    "road_2": (linear, lambda: peft.RoadConfig(variant="road_2", group_size=4, target_modules=LINEAR)),
    "road_4": (linear, lambda: peft.RoadConfig(variant="road_4", group_size=8, target_modules=["v", "down"])),
    "deft": (linear, lambda: peft.DeftConfig(r=2, target_modules=LINEAR)),
    "deft_qr": (linear, lambda: peft.DeftConfig(
        r=3, decomposition_method="qr", alpha=5, target_modules=LINEAR)),
    "deft_para": (linear, lambda: peft.DeftConfig(r=2, para=True, decomposition_method="qr", target_modules=LINEAR)),
    "deft_turned": (turned, lambda: peft.DeftConfig(
        r=2, fan_in_fan_out=True, target_modules=["c_attn", "c_proj"])),
}
# The first peft that has a case, where that is not the oldest that is tested. Before 0.21 "lora_only" saved no biases.
SINCE = {"lora_biases": (0, 21), "deft": (0, 20), "deft_qr": (0, 20), "deft_para": (0, 20), "deft_turned": (0, 20)}


def write(case, directory):
    make_model, make_config = CASES[case]
    torch.manual_seed(1)
    directory.mkdir(parents=True, exist_ok=True)
    model = make_model()
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, directory / "base.safetensors")
    adapted = peft.get_peft_model(model, make_config())
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter += 0.3 * torch.randn_like(parameter)
    adapted.save_pretrained(directory / "adapter")
    config = directory / "adapter" / "adapter_config.json"
    fields = json.loads(config.read_text())
    fields.pop("auto_mapping", None)  # names the class of a model that is only here
    config.write_text(json.dumps(fields, indent=1) + "\n")
    (directory / "adapter" / "README.md").unlink(missing_ok=True)
    merged = adapted.merge_and_unload().state_dict()
    save_file({k: v.contiguous() for k, v in merged.items()}, directory / "expected.safetensors")


def is_absent(case):
    """Whether this peft cannot make the case."""
    return tuple(int(part) for part in peft.__version__.split(".")[:2]) < SINCE.get(case, (0, 0))


def difference(directory, merged):
    """The largest relative difference of a tensor; infinite unless exactly the expected ones are there."""
    want, got = load_file(directory / "expected.safetensors"), load_file(merged)
    if want.keys() != got.keys():
        return float("inf")
    return max(float((got[k].double() - w.double()).norm() / max(float(w.double().norm()), 1e-30))
               for k, w in want.items())


if __name__ == "__main__":
    for name in sys.argv[2:] or CASES:
        write(name, Path(sys.argv[1]) / name)
