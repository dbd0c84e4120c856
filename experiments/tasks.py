# SPDX-License-Identifier: Apache-2.0
"""Data sets: texts with labels, split once and for all.

Where an example goes follows from the SHA-256 of its text alone: 70 % to learn from, 10 % dev, 20 %
test. The order within a part does too, so that a smaller part is the beginning of a larger one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

DATA = Path("out/data")
WORDNET = Path("/usr/share/wordnet")
#: Of WordNet's 117,659 synsets, those with the smallest hashes: as many as other tasks have.
SYNSETS = 12_000


@dataclass
class Task:
    """texts[i] is (text,) or (text, second text); labels are integers for classes, floats for a regression."""

    name: str
    classes: int  #: 0 for a regression
    parts: dict[str, list[tuple[tuple[str, ...], float]]] = field(default_factory=dict)

    @property
    def is_pair(self) -> bool:
        return len(self.parts["train"][0][0]) == 2


def _hash(texts: tuple[str, ...]) -> int:
    return int.from_bytes(hashlib.sha256("\t".join(texts).encode()).digest()[:8], "big")


def split(examples) -> dict:
    """The three parts of (texts, label) pairs; a text that occurs twice goes to one part, and once."""
    parts = {"train": [], "dev": [], "test": []}
    for h, (texts, label) in sorted({_hash(e[0]): e for e in examples}.items()):
        share = h % 10
        parts["dev" if share == 7 else "test" if share > 7 else "train"].append((texts, label))
    return parts


def _rated(file: str, regression: bool):
    """Lines of number, mean rating in [-4, 4], text: half the rating, or whether it is positive where |rating| > 1."""
    for line in (DATA / file).read_text(encoding="utf-8", errors="replace").splitlines():
        _, rating, text = line.split("\t", 2)
        if regression:
            yield (text,), float(rating) / 2
        elif abs(float(rating)) > 1:
            yield (text,), int(float(rating) > 0)


def synsets(folder: Path = WORDNET) -> list[tuple[str, int, str]]:
    """(word, number of its lexicographer file, gloss without examples) of WordNet's data files, wndb(5)."""
    found = []
    for part in ("noun", "verb", "adj", "adv"):
        path = folder / f"data.{part}"
        if not path.is_file():
            raise SystemExit(f"tasks: expected WordNet's {path}; scripts/setup.sh wordnet-base installs it on Debian")
        for line in path.read_text(encoding="latin-1").splitlines():
            if line.startswith("  "):  # the licence
                continue
            fields, _, gloss = line.partition(" | ")
            fields = fields.split()
            found.append((fields[4].split("(")[0].replace("_", " "), int(fields[1]), gloss.split('; "')[0].strip()))
    found.sort(key=lambda s: _hash(("synset", s[0], s[2])))  # another hash than that of split
    return found[:SYNSETS]


def _gloss_classes():
    return [((gloss,), number) for _, number, gloss in synsets()]


def _gloss_pairs():
    """Word and gloss; every second word is given the gloss of the next synset of its own lexicographer file."""
    waiting: dict[int, tuple[str, str]] = {}
    pairs = []
    for i, (word, number, gloss) in enumerate(synsets()):
        if i % 2:
            pairs.append(((word, gloss), 1))
        elif number in waiting:
            other_word, other_gloss = waiting.pop(number)
            pairs += [((word, other_gloss), 0), ((other_word, gloss), 0)]
        else:
            waiting[number] = (word, gloss)
    return pairs


TASKS = {
    "movies": (2, lambda: _rated("movies.tsv", False)),
    "movies-rating": (0, lambda: _rated("movies.tsv", True)),
    "tweets": (2, lambda: _rated("tweets.tsv", False)),
    "tweets-rating": (0, lambda: _rated("tweets.tsv", True)),
    "reviews": (2, lambda: _rated("reviews.tsv", False)),
    "reviews-rating": (0, lambda: _rated("reviews.tsv", True)),
    "gloss": (45, _gloss_classes),
    "pairs": (2, _gloss_pairs),
}

#: Columns of GLUE's tasks; the labelled validation part is the test, and a tenth of the training part is dev.
GLUE = {"cola": ("sentence",), "sst2": ("sentence",), "mrpc": ("sentence1", "sentence2"),
        "stsb": ("sentence1", "sentence2"), "qqp": ("question1", "question2"), "mnli": ("premise", "hypothesis"),
        "qnli": ("question", "sentence"), "rte": ("sentence1", "sentence2")}


def _glue(name: str) -> Task:
    try:
        import datasets
    except ImportError as error:
        raise SystemExit(f"tasks: glue/{name} needs the package datasets: pip install datasets") from error
    if name not in GLUE:
        raise SystemExit(f"tasks: expected glue/ and one of {', '.join(GLUE)}, got {name!r}")
    loaded = datasets.load_dataset("glue", name)

    def examples(part):
        return [(tuple(row[column] for column in GLUE[name]), row["label"]) for row in loaded[part]]

    train = sorted(examples("train"), key=lambda e: _hash(e[0]))
    test = examples("validation_matched" if name == "mnli" else "validation")
    tenth = len(train) // 10
    classes = 0 if name == "stsb" else loaded["train"].features["label"].num_classes
    return Task(f"glue/{name}", classes, {"train": train[tenth:], "dev": train[:tenth], "test": test})


def load(name: str) -> Task:
    """The task of that name; SystemExit, in words, where its data are missing."""
    if name.startswith("glue/"):
        return _glue(name.removeprefix("glue/"))
    if name not in TASKS:
        raise SystemExit(f"tasks: expected one of {', '.join(TASKS)} or glue/NAME, got {name!r}")
    classes, examples = TASKS[name]
    return Task(name, classes, split(examples()))
