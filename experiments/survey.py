#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""survey.py [MODEL...] [--results DIR]: which real weights are deficient, by the ranks of the models named (the
experiments' own unless said), and which cannot be reached by their shape, for architectures of transformers. Into
results/survey/weights.json. A minute for a small model."""

from __future__ import annotations

import argparse
import json
import re
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import torch  # noqa: E402
import transformers  # noqa: E402
from lorma import analysis  # noqa: E402
from transformers.pytorch_utils import Conv1D  # noqa: E402

from settings import MINILM  # noqa: E402

#: Sizes of the smallest published model of each; the configurations' defaults where they are that.
ARCHITECTURES = {
    "BERT base": transformers.BertConfig(num_hidden_layers=1),
    "GPT-2 small": transformers.GPT2Config(n_layer=1),
    "T5 small": transformers.T5Config(num_layers=1, num_decoder_layers=1),
    "GPT-NeoX 20B": transformers.GPTNeoXConfig(num_hidden_layers=1),
    "Llama 2 7B": transformers.LlamaConfig(num_hidden_layers=1),
    "Llama 3 8B": transformers.LlamaConfig(num_hidden_layers=1, hidden_size=4096, intermediate_size=14336,
                                           num_key_value_heads=8),
    "Qwen2.5 0.5B": transformers.Qwen2Config(num_hidden_layers=1, hidden_size=896, intermediate_size=4864,
                                             num_attention_heads=14, num_key_value_heads=2),
}


def weights_of(model: torch.nn.Module):
    """(name, module, out x in, how it is stored) of every linear layer."""
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear):
            yield name, module, (module.out_features, module.in_features), "out x in"
        elif isinstance(module, Conv1D):
            yield name, module, tuple(module.weight.shape[::-1]), "in x out"


def kind_of(name: str) -> str:
    return re.sub(r"(^|\.)\d+(?=\.|$)", "", name)


def ranks(path: str) -> list[dict]:
    """By kind of weight: how many, how many of full rank, the least rank."""
    kinds: dict[tuple, list] = {}
    for name, module, shape, _ in weights_of(transformers.AutoModel.from_pretrained(path, dtype=torch.float32)):
        kinds.setdefault((kind_of(name), shape), []).append(analysis.rank_report(module.weight))
    return [{"model": Path(path).name, "kind": kind, "shape": list(shape), "count": len(reports),
             "full": sum(r.is_full for r in reports), "near_full": sum(r.rank >= 0.99 * min(shape) for r in reports),
             "least_rank": min(r.rank for r in reports)} for (kind, shape), reports in kinds.items()]


def shapes() -> list[dict]:
    """What Theorem 1 and its corollary leave possible by a weight's shape: Pre reaches every target where it has full
    column rank, which needs out >= in, Post where it has full row rank."""
    found = []
    for label, config in ARCHITECTURES.items():
        with torch.device("meta"):
            model = transformers.AutoModel.from_config(config)
        seen = set()
        for name, _, shape, layout in weights_of(model):
            kind = kind_of(name)
            if kind not in seen:
                seen.add(kind)
                found.append({"model": label, "kind": kind, "shape": list(shape), "layout": layout,
                              "pre": shape[0] >= shape[1], "post": shape[1] >= shape[0]})
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=[MINILM])
    parser.add_argument("--results", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    found = {"weights": [row for path in options.models for row in ranks(path)], "shapes": shapes()}
    folder = options.results / "survey"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "weights.json").write_text(json.dumps(found, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
