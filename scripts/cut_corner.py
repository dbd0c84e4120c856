#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/data/demo/corner.safetensors, which the demo's tests train on, from the data of the demo.

    pip install numpy safetensors
    scripts/cut_corner.py examples/data/minilm-attention.safetensors tests/data/demo/corner.safetensors

The first SIZE rows and columns of the query and value weights of layers 2 and 3, and as much of the first tokens.
"""

import sys

from safetensors import safe_open
from safetensors.numpy import save_file

SIZE = 64
TOKENS = 160
FIRST_HELD_OUT = 128

with safe_open(sys.argv[1], framework="numpy") as file:
    names = [f"encoder.layer.{layer}.attention.self.{kind}.weight" for layer in (2, 3) for kind in ("query", "value")]
    tensors = {name: file.get_tensor(name)[:SIZE, :SIZE].copy() for name in names}
    tensors["encoder.layer.3.input"] = file.get_tensor("encoder.layer.3.input")[:TOKENS, :SIZE].copy()
    metadata = {**file.metadata(), "first_held_out_token": str(FIRST_HELD_OUT)}
save_file(tensors, sys.argv[2], metadata)
