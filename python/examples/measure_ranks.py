#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""measure_ranks.py [MODEL]: is W0 near full rank, and what are rank and condition of P as training goes on?

MODEL is a folder or a name that transformers knows; without it, a small BERT of random weights. NumPy measures."""

import sys

import peft
import torch
import transformers
from lorma import analysis
from lorma.peft import LormaConfig

torch.manual_seed(0)
if len(sys.argv) > 1:
    model = transformers.AutoModel.from_pretrained(sys.argv[1])
else:
    model = transformers.BertModel(transformers.BertConfig(vocab_size=100, hidden_size=48, num_hidden_layers=2,
                                                           num_attention_heads=4, intermediate_size=96))
for name, weight in model.named_parameters():
    if name.endswith("query.weight"):
        report = analysis.rank_report(weight)
        print(f"{name}: rank {report.rank} of {min(report.shape)}, condition {report.largest / report.smallest:.0f}")

for inflation in ("identity", "cyclic"):
    adapted = peft.get_peft_model(model, LormaConfig(r=4, lora_alpha=4, inflation=inflation, target_modules=["query"]))
    adam = torch.optim.Adam([p for p in adapted.parameters() if p.requires_grad], 1e-2)
    tokens = torch.randint(0, 100, (16, 12))
    target = torch.randn(16, 12, model.config.hidden_size)
    for step in range(11):
        if step % 5 == 0:
            first = next(iter(analysis.adapter_report(adapted).values()))
            print(f"{inflation:8} step {step:2}: P of rank {first['rank']}, condition {first['condition']:.4f}")
        adam.zero_grad()
        (adapted(tokens).last_hidden_state - target).square().mean().backward()
        adam.step()
    model = adapted.unload()
