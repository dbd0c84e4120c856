# SPDX-License-Identifier: Apache-2.0
"""Small models of the kinds that PEFT meets."""

import torch
import transformers
from torch import nn


class MLP(nn.Module):
    """Two linear layers of different shapes, one without bias, and a head."""

    def __init__(self, dtype=torch.float32):
        super().__init__()
        torch.manual_seed(0)
        self.lin0 = nn.Linear(10, 24, dtype=dtype)
        self.lin1 = nn.Linear(24, 16, bias=False, dtype=dtype)
        self.head = nn.Linear(16, 3, dtype=dtype)

    def forward(self, x):
        return self.head(torch.tanh(self.lin1(torch.tanh(self.lin0(x)))))


def bert():
    """Two layers of BERT with random weights, a classifier on top."""
    torch.manual_seed(0)
    config = transformers.BertConfig(hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
                                     vocab_size=50, num_labels=2)
    return transformers.BertForSequenceClassification(config).eval()


def gpt2():
    """Two layers of GPT-2, whose weights lie in x out."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_layer=2, n_embd=24, n_head=2, vocab_size=50, n_positions=32)
    return transformers.GPT2LMHeadModel(config).eval()


def tokens(rows=4, length=6):
    return torch.randint(0, 50, (rows, length), generator=torch.Generator().manual_seed(1))
