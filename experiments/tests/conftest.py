# SPDX-License-Identifier: Apache-2.0
"""A model of two small layers with a tokenizer, and data sets of a few sentences, in place of the real ones."""

import random
import sys
from pathlib import Path

import pytest
import torch
import transformers

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "experiments")]

import settings  # noqa: E402
import tasks  # noqa: E402
import training  # noqa: E402

GOOD, BAD, OTHER = ["fine", "great", "lovely"], ["poor", "dull", "awful"], ["a", "film", "plot", "very", "the", "end"]


def sentences(count):
    rng = random.Random(0)
    for _ in range(count):
        liked = rng.random() < 0.5
        words = rng.choices(OTHER, k=rng.randint(2, 8)) + [rng.choice(GOOD if liked else BAD)]
        yield (" ".join(words),), int(liked)


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *OTHER, *GOOD, *BAD]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    transformers.BertTokenizerFast(vocab={word: i for i, word in enumerate(words)}).save_pretrained(folder)
    torch.manual_seed(0)
    transformers.BertModel(transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=40)).save_pretrained(folder)
    return str(folder)


@pytest.fixture
def small(model_folder, monkeypatch):
    """Settings(...) of a run that takes a second."""
    monkeypatch.setitem(tasks.TASKS, "toy", (2, lambda: sentences(600)))
    monkeypatch.setitem(tasks.TASKS, "toy-rating", (0, lambda: ((t, float(y)) for t, y in sentences(600))))
    training._data.cache_clear()
    training._features.cache_clear()
    torch.set_num_threads(1)

    def make(**fields):
        return settings.Settings(**{"task": "toy", "model": model_folder, "steps": 20, "batch": 8, "rank": 2,
                                    "alpha": 2.0, "rate": 1e-2, **fields})
    return make
